"""Prices that were never paid: a walk that strays from its base and is drawn back to it.

Its logarithm is an autoregressive process of order one, held within a band. Real markets have jumps and busy hours
that this one lacks; what it is good for is rehearsal.
"""

from __future__ import annotations

import math
import random
from datetime import datetime, timedelta

from attrs import frozen

from flow_core.domain.money import Price
from flow_core.domain.price_track import PriceTrack, track_of


@frozen
class Walk:
    """How a price walks: `spread` of a move's logarithm, and the `low` and `high` multiples of the base it keeps to.

    Of what it has strayed, `pull` is left after a move.
    """

    spread: float
    low: float
    high: float
    pull: float = 0.9

    def moved(self, price: Price, *, base: Price, floor: Price, chance: random.Random) -> Price:
        """Return the price after one move from `price`, in whole cents, never under `floor`."""
        strayed = math.log(max(price.micros, 1) / max(base.micros, 1))
        factor = math.exp(self.pull * strayed + chance.gauss(0.0, self.spread))
        cents = round(base.to_cents() * min(max(factor, self.low), self.high))
        return max(Price.from_cents(cents), floor)


#: A band that a limit of 1.5 times any price in it outlasts.
CALM = Walk(spread=0.03, low=0.85, high=1.25)
STORMY = Walk(spread=0.25, low=0.6, high=4.0)


def walked(
    walk: Walk,
    *,
    base: Price,
    floor: Price,
    until: datetime,
    back: timedelta,
    step: timedelta,
    chance: random.Random,
    source: str,
) -> PriceTrack:
    """Return a track that begins at `base` and makes a move every `step`; equal draws give equal tracks."""
    price, at = max(base, floor), until - back
    points = []
    while at < until:
        points.append((at, price))
        price = walk.moved(price, base=base, floor=floor, chance=chance)
        at += step
    return track_of(points, until=until, source=source)
