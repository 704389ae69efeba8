"""The nodes of a world in the order of their creation, kept up as they come, so that a page needs no sorting.

What orders a node never changes: when it was granted, the number of its holder, its rank.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flow_providers.mock.codec import micros
from flow_providers.mock.rows import NodeRow

if TYPE_CHECKING:
    from flow_providers.mock.world import World

#: Microseconds since 1970, the holder's number, the rank; and the node's id.
Place = tuple[int, int, int, str]


class NodeOrder:
    """Places of nodes, sorted; worked out when first asked for, then added to."""

    def __init__(self) -> None:
        self._places: list[Place] | None = None
        self._new: list[NodeRow] = []

    def add(self, row: NodeRow) -> None:
        """Take in a node that was just created."""
        if self._places is not None:
            self._new.append(row)

    def places(self, world: World) -> list[Place]:
        """Return the place of every node there ever was, oldest first."""
        rows = self._new if self._places is not None else world.nodes.all()
        if rows or self._places is None:
            numbers = self._numbers(world, {row.bid for row in rows})
            self._places = sorted(
                [
                    *(self._places or ()),
                    *(
                        (micros(row.created_at or row.since), numbers[row.bid], row.rank, row.id)
                        for row in rows
                        if row.bid in numbers
                    ),
                ]
            )
            self._new = []
        return self._places

    def _numbers(self, world: World, ids: set[str]) -> dict[str, int]:
        found = {row.id: row.number for row in world.bids.find(ids)}
        found.update({row.id: row.number for row in world.reservations.find(ids)})
        return found
