"""How a world begins: who we are, what is on offer, and where every price starts."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime

from flow_providers.mock.prices import TAKEN_SHARE, TYPES, MarketOnOffer
from flow_providers.mock.rows import MarketRow, Meta
from flow_providers.mock.rules import Mood, Rules
from flow_providers.mock.world import World, wire_id

_LETTERS = "0123456789abcdef"


def bear(
    world: World,
    rules: Rules,
    *,
    seed: str,
    user: str,
    at: datetime,
    markets: Sequence[MarketOnOffer],
) -> None:
    """Fill an empty world; the same arguments give the same world."""
    world.metas.put(
        Meta(
            seed=seed,
            me=wire_id("user", seed, -1),
            user=user,
            project=wire_id("proj", seed, -2),
            born_at=at,
            anchor=at,
            rate=rules.rate,
        )
    )
    of_type: dict[str, str] = {}
    for number, offer in enumerate(markets):
        taken = offer.taken
        if taken is None:
            taken = 0 if rules.mood is Mood.QUIET else int(offer.capacity * TAKEN_SHARE)
        world.markets.put(
            MarketRow(
                id=world.new_id("auc"),
                number=number,
                type_id=_type_id(world, offer.type_name, of_type),
                type_name=offer.type_name,
                region=offer.region,
                capacity=offer.capacity,
                taken=taken,
                floor=offer.floor,
                base=offer.price,
                crowd=max(offer.price, offer.floor),
                crowd_since=at,
                price=max(offer.price, offer.floor),
                moves_at=rules.next_move(at),
            )
        )


def _type_id(world: World, name: str, known: dict[str, str]) -> str:
    """Return an id of its own for a type with GPUs in each region, and one for all regions for a type without.

    Source: contract section 2: machines without GPUs list types and regions apart, and take any pair of the two; and
    gotcha 2, that the name of another type has several ids.
    """
    if TYPES[name].shape.gpus:
        return world.new_id("it")
    if name not in known:
        known[name] = world.new_id("it")
    return known[name]


def drawn_seed(chance: random.Random) -> str:
    """Return a seed for a world that nobody gave one."""
    return "".join(chance.choices(_LETTERS, k=32))
