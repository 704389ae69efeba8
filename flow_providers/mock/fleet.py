"""The fleet role of the in-process door."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from flow_core.domain.allocation import Allocation, Node, Notice, NoticeKind
from flow_core.domain.bid import BidState
from flow_providers.mock.engine import Engine
from flow_providers.mock.world import World

#: Nodes of one pretend cloud are all on this machine.
LOOPBACK = "127.0.0.1"


class PretendFleet:
    """Implements `ports.fleet.Fleet`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def allocations(self, bid_ids: Collection[str]) -> Mapping[str, Allocation]:
        """See `Fleet.allocations`."""
        return self._engine.look(
            "allocations",
            lambda world, _: {bid_id: _allocation(world, bid_id) for bid_id in bid_ids},
        )


def _allocation(world: World, bid_id: str) -> Allocation:
    bid = world.bids.held(bid_id)
    if bid is None:
        return Allocation(bid_id=bid_id)
    is_moving = bid.state is BidState.RELOCATING
    kind = NoticeKind.RELOCATION if is_moving else NoticeKind.PREEMPTION
    notice = None if bid.notice_ends is None else Notice(kind, bid.notice_ends)
    nodes = tuple(
        Node(id=row.id, rank=row.rank, state=row.state, private_ip=LOOPBACK, since=row.since)
        for row in world.nodes.in_group(bid_id)
    )
    return Allocation(bid_id=bid_id, nodes=nodes, notice=notice, rendezvous_port=bid.port or 29500)
