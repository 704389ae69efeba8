"""The images role: what nodes boot from. Optional."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

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


class Images(Protocol):
    """Lists boot images."""

    def images(self) -> Sequence[BootImage]:
        """Return the images that new nodes can boot, the default first, then by name; may be repeated."""
        ...
