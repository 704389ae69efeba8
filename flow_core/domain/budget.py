"""What holding nodes costs: what was spent, and until when a ceiling allows holding on.

A ceiling is a lease: as long as `limit × nodes × time held` cannot have passed it, nodes may be kept. The limit is
used for what is to come, because the price may rise to it; the price history for what has been.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from attrs import evolve, frozen

from flow_core.domain.money import Price, Spend


@frozen(kw_only=True)
class Usage:
    """A stretch in which one bid held `nodes` paid instances at one `price`; `until` is None while it goes on."""

    bid_id: str
    nodes: int
    price: Price
    since: datetime
    until: datetime | None = None

    def cost(self, now: datetime) -> Spend:
        """Return what the stretch has cost by `now`."""
        end = self.until if self.until is not None else now
        return (self.price * self.nodes).over(max(end - self.since, timedelta(0)))

    def within(self, since: datetime, until: datetime) -> Usage | None:
        """Return the part of it between two moments, the first included; None where there is none."""
        begin, end = max(self.since, since), min(self.until or until, until)
        return evolve(self, since=begin, until=end) if begin < end else None


def spent(stretches: Iterable[Usage], now: datetime) -> Spend:
    """Add up what `stretches` have cost by `now`."""
    total = Spend.ZERO
    for stretch in stretches:
        total = total + stretch.cost(now)
    return total


def lease_ends(
    ceiling: Spend, so_far: Spend, *, limit: Price, nodes: int, now: datetime
) -> datetime:
    """Return when the ceiling would be reached if every hour from `now` cost the full limit; `now` if it is."""
    left = ceiling.micros - so_far.micros
    hourly = limit.micros * nodes
    if left <= 0:
        return now
    if hourly == 0:
        return datetime.max.replace(tzinfo=now.tzinfo)
    seconds = left * 3_600 // hourly
    try:
        return now + timedelta(seconds=seconds)
    except OverflowError:
        return datetime.max.replace(tzinfo=now.tzinfo)
