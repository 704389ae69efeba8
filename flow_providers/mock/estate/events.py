"""What happened to bids and nodes, noted whenever a row takes a new form.

Times are the world's at that moment. A node passes through the service's first four states in the same instant: how
long each lasts isn't known, and nobody can act on it.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from flow_core.domain.allocation import NodeState
from flow_core.domain.bid import BidState
from flow_core.domain.money import Price
from flow_providers.mock.estate.rows import EventRow
from flow_providers.mock.rows import BidRow, NodeRow

if TYPE_CHECKING:
    from flow_providers.mock.world import World

_FIRST = ("STATUS_NEW", "STATUS_CONFIRMED", "STATUS_INITIALIZING")
_STATUS = {
    NodeState.STARTING: "STATUS_STARTING",
    NodeState.RUNNING: "STATUS_RUNNING",
    NodeState.LEAVING: "STATUS_PREEMPTING",
    NodeState.LOST: "STATUS_ERROR",
    NodeState.GONE: "STATUS_TERMINATED",
}


def status_of(node: NodeRow) -> str:
    """Return a node's state in the service's words."""
    if node.state is NodeState.STOPPED:
        return "STATUS_PAUSED" if node.is_paused else "STATUS_PREEMPTED"
    if node.state is NodeState.LEAVING and node.is_moving:
        return "STATUS_RELOCATING"
    return _STATUS[node.state]


def node_changed(world: World, before: NodeRow | None, row: NodeRow) -> None:
    """Note that a node came to another status."""
    status = status_of(row)
    if before is None:
        world.node_order.add(row)
        for each in _FIRST:
            note(world, row.id, row.since, each)
    elif status_of(before) == status:
        return
    note(world, row.id, row.since, status)


def bid_changed(world: World, before: BidRow | None, row: BidRow) -> None:
    """Note what a bidder would like to read later of a change to a bid."""
    at = world.at if world.at is not None else row.created_at
    if before is None:
        note(world, row.id, row.created_at, "Placed", user=row.owner, price=row.limit)
        return
    if row.limit != before.limit:
        note(world, row.id, at, "Limit Price Changed", user=row.owner, price=row.limit)
    for volume in row.volumes:
        if volume not in before.volumes:
            note(world, row.id, at, "Volumes Attached", user=row.owner, detail=volume)
    for volume in before.volumes:
        if volume not in row.volumes:
            note(world, row.id, at, "Volumes Removed", user=row.owner, detail=volume)
    what, user = _move(before, row)
    if what:
        note(world, row.id, at, what, user=user)


def note(
    world: World,
    about: str,
    at: datetime,
    what: str,
    *,
    user: str = "",
    price: Price | None = None,
    amount: int = 0,
    detail: str = "",
) -> None:
    """Write an event down."""
    number = world.draw()
    world.events.put(
        EventRow(
            id=f"{number}",
            number=number,
            about=about,
            at=at,
            what=what,
            user=user,
            price=price,
            amount=amount,
            detail=detail,
        )
    )


def _move(before: BidRow, row: BidRow) -> tuple[str, str]:
    """Return what the service calls a move from state to state, and who made it; two empty words for no event."""
    if row.state is before.state:
        return "", ""
    if row.state is BidState.TERMINATED:
        return "Terminated", row.owner
    if row.state is BidState.PAUSED:
        return "Paused", row.owner
    if before.state is BidState.PAUSED:
        return "Resumed", row.owner
    if row.state is BidState.ALLOCATED:
        return ("Allocated", "") if before.state is not BidState.RELOCATING else ("", "")
    if before.state is BidState.PREEMPTING:
        return "Preempted", ""
    return "", ""
