"""The setup role: Mithril needs a key, a project and an SSH key."""

from __future__ import annotations

from collections.abc import Sequence

from flow_core.errors import InvalidRequest, Misconfigured
from flow_core.ports.setup import Choice, Question, Takes
from flow_providers.mithril.account import MithrilAccount, MithrilProjects
from flow_providers.mithril.facts import API_KEY
from flow_providers.mithril.keys import MithrilKeys

PROJECT = "project"
SSH_KEY = "mithril.ssh_key"


class MithrilSetup:
    """Implements `ports.setup.Setup`; `project` and `ssh_keys` are what is set, `origin` is where the API answers."""

    def __init__(
        self,
        *,
        origin: str,
        account: MithrilAccount,
        projects: MithrilProjects,
        keys: MithrilKeys,
        project: str | None,
    ) -> None:
        self._origin = origin
        self._account = account
        self._projects = projects
        self._keys = keys
        self._project = project

    def questions(self) -> Sequence[Question]:
        """See `Setup.questions`."""
        return (
            Question(
                setting=API_KEY,
                words="API key",
                help="made on Mithril's site, under the account's API keys",
                takes=Takes.UNSEEN,
            ),
            Question(setting=PROJECT, words="Project"),
            Question(setting=SSH_KEY, words="SSH key that opens your nodes", takes=Takes.SSH_KEY),
        )

    def origin(self) -> str | None:
        """See `Setup.origin`."""
        return self._origin

    def choices(self, setting: str) -> Sequence[Choice]:
        """See `Setup.choices`; a name that several share is told by its id."""
        if setting == PROJECT:
            found = [(each.id, each.name) for each in self._projects.projects()]
        elif setting == SSH_KEY:
            keys = self._keys.keys()
            found = [(key.id, key.name) for key in keys]
        else:
            return ()
        names = [name for _, name in found]
        return [
            Choice(name) if names.count(name) == 1 else Choice(own_id, f"{name} ({own_id})")
            for own_id, name in found
        ]

    def check(self, setting: str) -> str:
        """See `Setup.check`."""
        if setting == API_KEY:
            me = self._account.me()
            return me.name if me.email in (None, me.name) else f"{me.name} ({me.email})"
        if setting == PROJECT:
            return self._checked_project()
        if setting == SSH_KEY:
            carried = set(self._keys.for_bid())
            there = self._keys.keys()
            return ", ".join(key.name for key in there if key.id in carried)
        raise InvalidRequest({setting: "is nothing that Mithril needs to be told"})

    def _checked_project(self) -> str:
        current = self._projects.current()
        there = self._projects.projects()
        if current.id not in {each.id for each in there}:
            names = ", ".join(each.name for each in there) or "none"
            raise Misconfigured(f"no project has the id {current.id!r}; there are: {names}")
        return current.name if self._project else f"{current.name}, the only one"
