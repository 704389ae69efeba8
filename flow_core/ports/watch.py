"""The watcher as commands see it: something that must run while anything is live."""

from __future__ import annotations

from typing import Protocol


class Watch(Protocol):
    """Starts the one watcher of this user, and knows whether it runs."""

    def ensure(self) -> None:
        """Return when a watcher runs or is on its way; starting one that runs does nothing.

        Raises:
            NoRoom: no process could be started; nothing has been bid yet.
        """
        ...

    def is_running(self) -> bool:
        """Whether a watcher holds its lock now."""
        ...

    def trouble(self) -> str | None:
        """Return what keeps the watcher from its work just now, in words; None when nothing is known to."""
        ...
