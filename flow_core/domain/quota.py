"""Projects, and how much of what each may hold."""

from __future__ import annotations

from attrs import frozen


@frozen(kw_only=True)
class Project:
    """A part of an account with its own bids, volumes, keys and quotas."""

    id: str
    name: str


@frozen(kw_only=True)
class Quota:
    """At most `total` of `what` may be held at once, counted in `unit`; `type_id` narrows it to one instance type."""

    id: str
    what: str
    total: int
    used: int
    unit: str = ""
    type_id: str | None = None

    @property
    def left(self) -> int:
        """How many more there may be; never below zero."""
        return max(self.total - self.used, 0)
