"""The fleet role: which nodes a bid holds. Required of every provider."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from flow_core.domain.allocation import Allocation


class Fleet(Protocol):
    """Knows the nodes behind bids."""

    def allocations(self, bid_ids: Collection[str]) -> Mapping[str, Allocation]:
        """Return the nodes of each bid, in one sweep however many there are; may be repeated.

        Every id asked for is answered: with an empty allocation when the bid holds nothing, has ended or is unknown.
        Nodes come by rank, 0 to n-1 without gaps, and a node keeps its rank while its bid lives, across preemptions
        too. A node of a paused or preempted bid is STOPPED or absent. A notice is there exactly while it stands.

        Raises:
            NotAuthorized, Transient: as for every role.
        """
        ...
