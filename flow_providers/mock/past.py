"""What a market's price was before its world began: the walk that it goes on with, told backwards.

A walk that is drawn back to its base looks the same in both directions, so going backwards from the price at birth
gives a past that joins it without a seam, and that a policy may learn from: limits that would have won then win as
often now. Nothing of it is kept; it is a function of the world's seed and birth, and of its mood now.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from attrs import evolve

from flow_core.domain.money import Price
from flow_providers.mock.prices import wandered
from flow_providers.mock.rows import MarketRow, Meta
from flow_providers.mock.rules import Mood, Rules

#: How much of the past there is.
REACH = timedelta(days=90)


def past_of(
    market: MarketRow, meta: Meta, rules: Rules, *, since: datetime
) -> list[tuple[datetime, Price]]:
    """Return when the price changed before birth, and what it was from then on, oldest first, the birth's own last.

    It goes back to the change before `since`, or to REACH. Deterministic, whatever part of it is asked for. In a
    quiet market the price has always been what it is.
    """
    price = max(market.base, market.floor)
    first = max(since, meta.born_at - REACH)
    if rules.mood is Mood.QUIET:
        return [(min(first, meta.born_at), price)]
    step = timedelta(seconds=rules.move_s)
    found = [(meta.born_at, price)]
    at, then = meta.born_at, evolve(market, crowd=price)
    while at > first:
        at -= step
        moved = wandered(then, seed=f"{meta.seed}/past", mood=rules.mood, move=int(at.timestamp()))
        then = evolve(then, crowd=moved)
        found.append((at, moved))
    found.reverse()
    return [(max(at, meta.born_at - REACH), told) for at, told in found]
