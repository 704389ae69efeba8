"""The projects role: the parts of an account, and what each may hold. Optional."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from flow_core.domain.quota import Project, Quota


class Projects(Protocol):
    """Knows projects and their quotas. Reads may be repeated; each may raise `NotAuthorized` and `Transient`."""

    def projects(self) -> Sequence[Project]:
        """Return every project that these credentials may use, by name."""
        ...

    def current(self) -> Project:
        """Return the project that bids, volumes and keys belong to.

        Raises:
            Misconfigured: the configured one doesn't exist, or none was chosen from several.
        """
        ...

    def quotas(self) -> Sequence[Quota]:
        """Return what the current project may hold, by name; empty where nothing is limited."""
        ...
