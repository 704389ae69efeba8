"""The scripts role: lifecycle scripts that the provider keeps. Optional. Nothing of Flow's runs them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from flow_core.domain.kept import LifecycleScript


class Scripts(Protocol):
    """Keeps scripts by name. Every method may raise `NotAuthorized` and `Transient`; reads may be repeated."""

    def scripts(self) -> Sequence[LifecycleScript]:
        """Return every script that the account sees, the one that changed last first."""
        ...

    def text(self, script_id: str) -> str:
        """Return what a script says.

        Raises:
            NotFound: there is none of that id.
        """
        ...

    def add(self, name: str, *, text: str, description: str = "") -> LifecycleScript:
        """Keep a script for the current project and return it; another may have the same name.

        Raises:
            InvalidRequest: the provider doesn't take it; the message says why.
            Transient: no answer; look for the name before repeating.
        """
        ...

    def delete(self, script_id: str) -> None:
        """Forget a script; one that is gone does nothing."""
        ...
