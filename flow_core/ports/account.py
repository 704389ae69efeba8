"""The account role: who we are, and who else bids here. Optional."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from flow_core.domain.people import Person


class Account(Protocol):
    """Tells people apart."""

    def me(self) -> Person:
        """Return the person whose credentials these are; its id is what `Bid.owner` holds for our bids."""
        ...

    def people(self) -> Sequence[Person]:
        """Return everyone whose bids may be seen here, us included."""
        ...
