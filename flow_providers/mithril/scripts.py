"""The scripts role over /v2/lifecycle-scripts. Bids bring their own script; these are kept and told.

What the service answers for a script's text is declared nowhere: a bare string is read, and an object that holds one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flow_core.domain.kept import LifecycleScript
from flow_providers.mithril import wire
from flow_providers.mithril.client import PAGE, Client, segment

_PATH = "/v2/lifecycle-scripts"


class MithrilScripts:
    """Implements `ports.scripts.Scripts`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def scripts(self) -> Sequence[LifecycleScript]:
        """See `Scripts.scripts`."""
        query = {
            "project": self._client.project,
            "limit": PAGE,
            "sort_by": "last_modified_at",
            "sort_dir": "desc",
        }
        told = self._client.listed("list scripts", wire.Script, _PATH, query)
        return [_script(each) for each in {each.fid: each for each in told}.values()]

    def text(self, script_id: str) -> str:
        """See `Scripts.text`."""
        told = self._client.bare("read script", f"{_PATH}/{segment(script_id)}/content")
        if isinstance(told, Mapping):
            told = told.get("content")
        return told if isinstance(told, str) else ""

    def add(self, name: str, *, text: str, description: str = "") -> LifecycleScript:
        """See `Scripts.add`."""
        body = {
            "project": self._client.project,
            "name": name,
            "content": text,
            "description": description,
        }
        return _script(self._client.create("add script", wire.Script, _PATH, body))

    def delete(self, script_id: str) -> None:
        """See `Scripts.delete`."""
        self._client.delete("delete script", f"{_PATH}/{segment(script_id)}")


def _script(told: wire.Script) -> LifecycleScript:
    return LifecycleScript(
        id=told.fid,
        name=told.name,
        description=told.description,
        scope=told.scope.lower(),
        changed_at=told.last_modified_at or told.created_at,
    )
