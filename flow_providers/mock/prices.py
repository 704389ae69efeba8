"""What the pretend market offers, and how its prices wander.

Every floor, price, capacity and machine here is invented, except what carries a source. They are chosen so that the
order of prices looks right (an A100 under an H100 under a B200) and so that 8xh100 starts at $8.00 an hour.
"""

from __future__ import annotations

import random

from attrs import field, frozen

from flow_core.domain.money import Price
from flow_core.domain.price_walk import CALM, STORMY
from flow_core.domain.shape import InstanceShape
from flow_providers.mock.rules import Mood

#: The share of a market that others hold for good, where there are others.
TAKEN_SHARE = 0.25


@frozen(kw_only=True)
class TypeOnOffer:
    """An instance type; names are Mithril's where it has one (contract, section 4), machine sizes invented."""

    name: str
    shape: InstanceShape
    cpus: int
    memory_gb: int
    storage_gb: int = 0


@frozen(kw_only=True)
class MarketOnOffer:
    """One type in one region: how many there are, the least limit, and the price it starts at."""

    type_name: str
    region: str
    capacity: int
    floor: Price
    price: Price
    taken: int | None = field(default=None)


def _gpu(
    name: str, gpu: str, gpus: int, memory_gb: int, share: tuple[int, int, int]
) -> TypeOnOffer:
    cpus, ram, disk = share
    shape = InstanceShape(gpu, gpus, memory_gb)
    return TypeOnOffer(
        name=name, shape=shape, cpus=cpus * gpus, memory_gb=ram * gpus, storage_gb=disk * gpus
    )


TYPES: dict[str, TypeOnOffer] = {
    each.name: each
    for each in (
        _gpu("a100-80gb.sxm.1x", "a100", 1, 80, (24, 120, 900)),
        _gpu("a100-80gb.sxm.2x", "a100", 2, 80, (24, 120, 900)),
        _gpu("a100-80gb.sxm.4x", "a100", 4, 80, (24, 120, 900)),
        _gpu("a100-80gb.sxm.8x", "a100", 8, 80, (24, 120, 900)),
        _gpu("h100-80gb.sxm.1x", "h100", 1, 80, (24, 225, 975)),
        # 192 CPUs, 1800 GB and 7800 GB on 8 GPUs. Source: contract, section 4, the API's example.
        _gpu("h100-80gb.sxm.8x", "h100", 8, 80, (24, 225, 975)),
        _gpu("h200.8x", "h200", 8, 141, (24, 225, 975)),
        _gpu("b200-192gb.8x", "b200", 8, 192, (29, 350, 3_000)),
        TypeOnOffer(
            name="cpu.4x", shape=InstanceShape("cpu", 0), cpus=4, memory_gb=16, storage_gb=100
        ),
    )
}

_REGIONS = ("us-central5-a", "us-central1-a", "us-central2-a", "us-east1-a", "eu-central1-b")


def _offers(
    name: str, regions: tuple[int, ...], capacity: int, floor: str, price: str
) -> list[MarketOnOffer]:
    """Offer a type in some regions, each a twentieth dearer than the one before."""
    found = []
    for place, region in enumerate(regions):
        cents = round(Price.parse(price).to_cents() * (1 + place / 20))
        found.append(
            MarketOnOffer(
                type_name=name,
                region=_REGIONS[region],
                capacity=capacity,
                floor=Price.parse(floor),
                price=Price.from_cents(cents),
            )
        )
    return found


MARKETS: tuple[MarketOnOffer, ...] = (
    *_offers("a100-80gb.sxm.1x", (0, 1, 4), 128, "0.20", "0.80"),
    *_offers("a100-80gb.sxm.2x", (0, 1), 64, "0.40", "1.60"),
    *_offers("a100-80gb.sxm.4x", (0, 1), 48, "0.80", "3.20"),
    *_offers("a100-80gb.sxm.8x", (0, 1, 4), 48, "1.60", "6.40"),
    *_offers("h100-80gb.sxm.1x", (0, 2), 64, "0.25", "1.05"),
    *_offers("h100-80gb.sxm.8x", (0, 1, 2, 4), 64, "2.00", "8.00"),
    *_offers("h200.8x", (0, 3), 32, "2.25", "12.00"),
    # $2.25 is what a documentation page shows for b200.8x. Source: contract, section 4.
    *_offers("b200-192gb.8x", (0, 3), 32, "2.25", "18.40"),
    *_offers("cpu.4x", (0, 1, 2, 3, 4), 500, "0.02", "0.12"),
)


def wandered(
    crowd: Price, *, market: str, base: Price, floor: Price, seed: str, mood: Mood, move: int
) -> Price:
    """Return a crowd's price after move number `move` of the market of that id: a walk drawn back to the base.

    Deterministic in its arguments, so that a world is the same however often it was looked at.
    """
    if mood is Mood.QUIET:
        return crowd
    walk = CALM if mood is Mood.CALM else STORMY
    return walk.moved(
        crowd, base=base, floor=floor, chance=random.Random(f"{seed}/{market}/{move}")
    )
