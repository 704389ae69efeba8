"""The fleet role: a bid's containers, by rank."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timezone
from typing import Any

from flow_core.domain.allocation import Allocation, Node, NodeState
from flow_providers.local_docker.estate import Estate
from flow_providers.local_docker.labels import node_id
from flow_providers.local_docker.world import World

_STATES = {
    "created": NodeState.STARTING,
    "restarting": NodeState.STARTING,
    "running": NodeState.RUNNING,
    "paused": NodeState.STOPPED,
    "exited": NodeState.STOPPED,
    "removing": NodeState.GONE,
    "dead": NodeState.LOST,
}


class DockerFleet:
    """Implements `ports.fleet.Fleet`."""

    def __init__(self, estate: Estate) -> None:
        self._estate = estate

    def allocations(self, bid_ids: Collection[str]) -> Mapping[str, Allocation]:
        """See `Fleet.allocations`."""
        if not bid_ids:
            return {}
        world = self._estate.look()
        return {bid_id: _allocation(bid_id, world) for bid_id in bid_ids}


def _allocation(bid_id: str, world: World) -> Allocation:
    record = world.records.get(bid_id)
    boxes = world.boxes.get(bid_id, {})
    if record is None:
        return _going(bid_id, world)
    if len(boxes) < record.quantity:
        return Allocation(bid_id=bid_id)
    nodes = (_node(boxes[rank], rank) for rank in sorted(boxes))
    return Allocation(bid_id=bid_id, nodes=tuple(nodes))


def _going(bid_id: str, world: World) -> Allocation:
    """Return the nodes of a bid that has ended, for the moment in which one of them still runs."""
    record = world.ending.get(bid_id)
    boxes = world.boxes.get(bid_id, {})
    if record is None or not any(box["State"] == "running" for box in boxes.values()):
        return Allocation(bid_id=bid_id)
    nodes = (
        _node(boxes[rank], rank)
        if rank in boxes
        else Node(id=node_id(bid_id, rank), rank=rank, state=NodeState.GONE)
        for rank in range(record.quantity)
    )
    return Allocation(bid_id=bid_id, nodes=tuple(nodes))


def _node(box: Mapping[str, Any], rank: int) -> Node:
    networks = box.get("NetworkSettings", {}).get("Networks") or {}
    address = next((each["IPAddress"] for each in networks.values() if each.get("IPAddress")), None)
    return Node(
        id=box["Names"][0].lstrip("/"),
        rank=rank,
        state=_STATES.get(box["State"], NodeState.LOST),
        private_ip=address,
        since=datetime.fromtimestamp(int(box["Created"]), timezone.utc),
    )
