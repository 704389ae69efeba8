"""The fleet role: the nodes of a bid are there from its first moment to its last."""

from collections.abc import Collection, Mapping

from flow_core.domain.allocation import Allocation, Node, NodeState
from flow_tiny.ledger import Ledger, Record


class TinyFleet:
    """Implements `flow_core.ports.fleet.Fleet`."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def allocations(self, bid_ids: Collection[str]) -> Mapping[str, Allocation]:
        """See `Fleet.allocations`."""
        return {bid_id: allocation_of(bid_id, self._ledger.record(bid_id)) for bid_id in bid_ids}


def allocation_of(bid_id: str, record: Record | None) -> Allocation:
    """Return the nodes of one bid: none for a bid that has ended or never was."""
    if record is None or "ended_at" in record:
        return Allocation(bid_id=bid_id)
    nodes = tuple(
        Node(
            id=f"{bid_id}/node-{rank}",
            rank=rank,
            state=NodeState.RUNNING,
            private_ip="127.0.0.1",
        )
        for rank in range(record["quantity"])
    )
    return Allocation(bid_id=bid_id, nodes=nodes, rendezvous_port=record["port"])
