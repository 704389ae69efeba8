"""How long a market of a million open bids takes to clear."""

from __future__ import annotations

import random
import statistics
import time
from typing import TypedDict

from flow_core.domain.auction import Order, clear
from flow_core.domain.money import Price

ORDERS = 1_000_000
LIMIT_S = 3.0
ROUNDS = 3


class Measured(TypedDict):
    """One line of the table: what was measured, its median, and what it must stay under."""

    name: str
    value_s: float
    limit_s: float


def bench_auction(*, limits: int = 3_000, share: float = 0.5) -> Measured:
    """Clear a million orders three times; `limits` different prices, capacity for `share` of them."""
    orders = a_market(limits=limits)
    capacity = int(sum(order.quantity for order in orders) * share)
    return {
        "name": f"clear {ORDERS:,} open bids",
        "value_s": statistics.median(_timed(orders, capacity) for _ in range(ROUNDS)),
        "limit_s": LIMIT_S,
    }


def a_market(*, limits: int, size: int = ORDERS, seed: int = 2) -> list[Order]:
    """Make orders in random order of limit and submission, quantities 1 to 16."""
    rng = random.Random(seed)
    placed = list(range(size))
    rng.shuffle(placed)
    return [
        Order(
            f"bid_{number:07d}",
            Price.from_cents(200 + rng.randrange(limits)),
            rng.choice((1, 1, 1, 2, 4, 8, 16)),
            placed[number],
        )
        for number in range(size)
    ]


def _timed(orders: list[Order], capacity: int) -> float:
    begun = time.perf_counter()
    clear(orders, capacity=capacity, reserve=Price.from_cents(150))
    return time.perf_counter() - begun


if __name__ == "__main__":
    print(bench_auction())
    for limits, share in ((1, 0.5), (3_000, 0.001), (3_000, 2.0), (50_000_000, 0.5)):
        found = bench_auction(limits=limits, share=share)
        print(f"{limits:>12,} limits, capacity for {share:.1%}: {found['value_s']:.2f} s")
