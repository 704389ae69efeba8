"""What a provider keeps for its users to look at: the systems that nodes boot, and scripts."""

from __future__ import annotations

from datetime import datetime

from attrs import frozen


@frozen(kw_only=True)
class BootImage:
    """A version of the system that nodes boot. `regions` is empty where it is offered everywhere."""

    id: str
    name: str
    system: str = ""
    is_default: bool = False
    regions: tuple[str, ...] = ()
    driver: str | None = None
    cuda: str | None = None


@frozen(kw_only=True)
class LifecycleScript:
    """A script that the provider keeps under a name; `scope` is the provider's word for who sees it."""

    id: str
    name: str
    description: str = ""
    scope: str = ""
    changed_at: datetime | None = None
