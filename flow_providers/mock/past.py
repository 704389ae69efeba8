"""What a market's price was before its world began: the walk that it goes on with, told backwards.

A walk that is drawn back to its base looks the same in both directions, so going backwards from the price at birth
gives a past that joins it without a seam, and that a policy may learn from: limits that would have won then win as
often now. Nothing of it is kept with the world; it is a function of its seed and birth, and of its mood now.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache, partial

from flow_core.domain.money import Price
from flow_providers.mock.prices import wandered
from flow_providers.mock.rows import MarketRow, Meta
from flow_providers.mock.rules import Mood, Rules

#: How much of the past there is.
REACH = timedelta(days=90)
#: So many moves are worked out at a time, and remembered: a long history is asked for in parts.
PIECE = 64


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
    found, piece = [(meta.born_at, price)], 0
    while found[-1][0] > first:
        found += _moves(
            piece,
            born_at=meta.born_at,
            step_s=rules.move_s,
            market=market.id,
            base=market.base,
            floor=market.floor,
            seed=f"{meta.seed}/past",
            mood=rules.mood,
        )
        piece += 1
    told = [each for each in found if each[0] > first]
    told.append(found[len(told)])
    return [(max(at, meta.born_at - REACH), price) for at, price in reversed(told)]


@lru_cache(maxsize=512)
def _moves(
    piece: int,
    *,
    born_at: datetime,
    step_s: int,
    market: str,
    base: Price,
    floor: Price,
    seed: str,
    mood: Mood,
) -> tuple[tuple[datetime, Price], ...]:
    """A piece of the past, latest first; each goes on from the one that is nearer to birth."""
    same = partial(
        _moves,
        born_at=born_at,
        step_s=step_s,
        market=market,
        base=base,
        floor=floor,
        seed=seed,
        mood=mood,
    )
    price = same(piece - 1)[-1][1] if piece else max(base, floor)
    found = []
    for number in range(piece * PIECE + 1, (piece + 1) * PIECE + 1):
        at = born_at - number * timedelta(seconds=step_s)
        price = wandered(
            price,
            market=market,
            base=base,
            floor=floor,
            seed=seed,
            mood=mood,
            move=int(at.timestamp()),
        )
        found.append((at, price))
    return tuple(found)
