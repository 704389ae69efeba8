"""The leftovers role: what the provider still has of Flow's that no live bid needs. Optional.

For providers whose things lie around where the user keeps other things, such as a Docker engine. Live bids are not
among them: those that this machine doesn't know are strays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from attrs import frozen


@frozen(kw_only=True)
class Leftover:
    """Something of Flow's. `what` says in words what it is; one that `is_kept` is a cache: it serves later tasks."""

    id: str
    what: str
    is_kept: bool = False


class Leftovers(Protocol):
    """Finds them, and takes away those that are named. Both may be repeated."""

    def leftovers(self) -> Sequence[Leftover]:
        """Return what no live bid needs, in the order in which it can be removed; nothing that Flow didn't make.

        Raises:
            Transient: the provider gave no answer.
        """
        ...

    def remove(self, leftover: Leftover) -> None:
        """Take one away; one that has gone, or is used again by now, is left as it is."""
        ...
