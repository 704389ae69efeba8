"""The fleet role: an allocation's nodes, ranked as Slurm ranks them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timezone

from flow_core.domain.allocation import Allocation, Node, NodeState
from flow_core.domain.bid import BidState
from flow_core.node.slurm.layout import hostnames
from flow_providers.slurm.catalog import Surveyor
from flow_providers.slurm.estate import Estate, Found

#: How long a node's address is good for; it changes when the cluster is rebuilt.
_ADDRESS_S = 3600.0
#: Ports that allocations meet at: below those that systems give out, and not other programs' usual ones.
_FIRST_PORT, _PORTS = 15_000, 16_000


class SlurmFleet:
    """Implements `ports.fleet.Fleet`."""

    def __init__(self, estate: Estate, surveyor: Surveyor) -> None:
        self._estate = estate
        self._surveyor = surveyor

    def allocations(self, bid_ids: Collection[str]) -> Mapping[str, Allocation]:
        """See `Fleet.allocations`."""
        if not bid_ids:
            return {}
        world = self._estate.look()
        return {bid_id: self._allocation(bid_id, world.live.get(bid_id)) for bid_id in bid_ids}

    def _allocation(self, bid_id: str, found: Found | None) -> Allocation:
        if found is None or found.row is None or found.state is not BidState.ALLOCATED:
            return Allocation(bid_id=bid_id)
        row = found.row
        known = self._surveyor.look(within_s=_ADDRESS_S).nodes
        nodes = tuple(
            Node(
                id=f"{bid_id}/{rank}",
                rank=rank,
                state=_state(row["state"]),
                private_ip=known[host].address if host in known else host,
                since=_time(row["start"]),
            )
            for rank, host in enumerate(hosts_of(found))
        )
        port = _FIRST_PORT + int(found.job) % _PORTS
        return Allocation(bid_id=bid_id, nodes=nodes, rendezvous_port=port)


def hosts_of(found: Found) -> list[str]:
    """Return the names of a bid's nodes, by rank; empty while it has none."""
    named = found.row["nodes"] if found.row is not None else ""
    return hostnames(named) if named and not named.startswith("(") else []


def _state(state: str) -> NodeState:
    if state == "CONFIGURING":
        return NodeState.STARTING
    return NodeState.LEAVING if state == "COMPLETING" else NodeState.RUNNING


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)
    except ValueError:
        return None
