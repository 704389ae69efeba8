"""What the host of the nodes must be told, noted in the turn that decides it; and the one way to start a node."""

from __future__ import annotations

from datetime import datetime

from attrs import evolve

from flow_core.domain.allocation import NodeState
from flow_providers.mock.rows import EffectRow, NodeRow
from flow_providers.mock.rules import Rules
from flow_providers.mock.world import World


def effect(
    world: World, what: str, target: str, at: datetime, deadline: datetime | None = None
) -> None:
    """Note what the host of the nodes must be told once this is on record."""
    number = world.draw()
    world.effects.put(
        EffectRow(id=f"{number}", number=number, what=what, target=target, at=at, deadline=deadline)
    )


def boot_again(world: World, rules: Rules, node: NodeRow, at: datetime) -> None:
    """Start a node that is stopped or lost."""
    world.nodes.put(
        evolve(
            node,
            state=NodeState.STARTING,
            since=at,
            is_booted=False,
            is_moving=False,
            changes_at=at + rules.boot,
        )
    )
