"""The values of tasks' secrets, on their way from this machine to the nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from flow_core.domain.task_parts import Secret


class Vault(Protocol):
    """Finds values, and holds those of tasks under way in memory alone: no file, no log, no repr has them."""

    def find(self, secrets: Sequence[Secret]) -> Mapping[str, str]:
        """Return the value of each secret, by name, from where it says it is kept.

        Raises:
            InvalidRequest: naming every one that isn't there, and where it was looked for.
        """
        ...

    def entrust(self, token: str, values: Mapping[str, str]) -> None:
        """Hand the values of the task `token` to whoever delivers to its nodes; the same again is no change.

        Raises:
            Transient: nobody took them.
        """
        ...

    def held(self, token: str) -> Mapping[str, str]:
        """Return what was entrusted for a task; empty where nothing was, or where it was lost with its holder."""
        ...

    def forget(self, token: str) -> None:
        """Drop what was entrusted for a task; nothing happens where nothing was."""
        ...
