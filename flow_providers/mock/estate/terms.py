"""What happens to reservations by themselves: they begin and they end.

Reserved instances come from a pool of their own, so they never touch the auction. How the service shares its
machines between the two isn't known.
"""

from __future__ import annotations

from datetime import datetime

from attrs import evolve

from flow_core.domain.allocation import NodeState
from flow_providers.mock.effects import boot_again, effect
from flow_providers.mock.estate.events import note
from flow_providers.mock.estate.rows import ReservationRow
from flow_providers.mock.rows import NodeRow
from flow_providers.mock.rules import Rules
from flow_providers.mock.world import World


def come_due(world: World, rules: Rules, reservation_id: str, at: datetime) -> None:
    """Begin a reservation whose start has come, or end one whose time is over."""
    row = world.reservations.held(reservation_id)
    if row is None:
        raise LookupError(reservation_id)
    if row.state == "pending":
        begin(world, rules, row, at)
    else:
        end(world, row, at)


def begin(world: World, rules: Rules, row: ReservationRow, at: datetime) -> ReservationRow:
    """Start all instances of a reservation, and return it."""
    row = world.reservations.put(evolve(row, state="active"))
    note(world, row.id, at, "Active")
    for rank in range(row.quantity):
        add_node(world, rules, row, rank, at)
    return row


def end(world: World, row: ReservationRow, at: datetime) -> ReservationRow:
    """Take a reservation's instances away for good, and return it."""
    for node in world.nodes.in_group(row.id):
        remove_node(world, node, at)
    note(world, row.id, at, "Ended")
    return world.reservations.put(evolve(row, state="ended", ended_at=at))


def add_node(world: World, rules: Rules, row: ReservationRow, rank: int, at: datetime) -> NodeRow:
    """Grant a reservation a node, and start it."""
    return world.nodes.put(
        NodeRow(
            id=world.new_id("inst"),
            number=rank,
            bid=row.id,
            rank=rank,
            state=NodeState.STARTING,
            since=at,
            changes_at=at + rules.boot,
            created_at=at,
        )
    )


def remove_node(world: World, node: NodeRow, at: datetime) -> None:
    """Take a node away for good."""
    world.nodes.put(evolve(node, state=NodeState.GONE, since=at, is_booted=False, changes_at=None))
    effect(world, "destroy", node.id, at)


def stop_node(world: World, node: NodeRow, at: datetime) -> NodeRow:
    """Stop a node, its boot disk kept, and return it."""
    effect(world, "stop", node.id, at)
    return world.nodes.put(
        evolve(
            node,
            state=NodeState.STOPPED,
            since=at,
            is_booted=False,
            changes_at=None,
            is_paused=True,
        )
    )


def start_node(world: World, rules: Rules, node: NodeRow, at: datetime) -> NodeRow:
    """Start a stopped node, and return it."""
    boot_again(world, rules, node, at)
    return world.nodes.held(node.id) or node
