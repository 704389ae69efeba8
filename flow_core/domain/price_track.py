"""How one market's price moved: a step function of time, and what can be read off it.

Times are seconds since 1970 in UTC and prices micro-dollars, as plain numbers, because a back-test reads millions.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone

from attrs import field, frozen

from flow_core.domain.money import Price


@frozen(kw_only=True)
class PriceTrack:
    """From `starts[i]` on, until the next start, an instance cost `prices[i]` per hour; known until `end`.

    Starts ascend strictly and there is at least one. `source` says who told.

    Raises:
        ValueError: there is no price, or the times don't ascend.
    """

    starts: tuple[float, ...] = field(repr=False)
    prices: tuple[int, ...] = field(repr=False)
    end: float
    source: str = ""
    #: When the last price was told, even where it was the one before; by default the last start.
    newest: float | None = None

    def __attrs_post_init__(self) -> None:
        if not self.starts or len(self.starts) != len(self.prices):
            raise ValueError("a track needs as many prices as times, and at least one")
        if any(one >= two for one, two in zip(self.starts, self.starts[1:], strict=False)):
            raise ValueError("a track's times must ascend")

    @property
    def since(self) -> datetime:
        """When the first known price began."""
        return moment_of(self.starts[0])

    @property
    def until(self) -> datetime:
        """How far the prices are known."""
        return moment_of(self.end)

    @property
    def told(self) -> datetime:
        """When the last price was told."""
        return moment_of(self.starts[-1] if self.newest is None else self.newest)

    def at(self, moment: datetime) -> Price:
        """Return the price at a moment; before the first one, the first."""
        return Price(self.prices[self.place(moment.timestamp())])

    def place(self, seconds: float) -> int:
        """Return which price held at that second; before the first one, the first."""
        return max(bisect_right(self.starts, seconds) - 1, 0)

    def stretches(self, since: float, until: float) -> list[tuple[int, float]]:
        """Return each price within those seconds with how long it held, in order of time; empty outside the track."""
        since, until = max(since, self.starts[0]), min(until, self.end)
        if since >= until:
            return []
        first, last = self.place(since), bisect_left(self.starts, until)
        edges = [since, *self.starts[first + 1 : last], until]
        return [
            (self.prices[first + place], edges[place + 1] - edges[place])
            for place in range(len(edges) - 1)
        ]

    def quantile(self, share: float, *, since: float, until: float) -> Price:
        """Return the least price that held, or was undercut, for `share` (0 to 1) of the time between those seconds.

        Weighted by time, not by the number of changes; grows with `share`. Where the track doesn't reach, the time
        that it does reach counts; where it has nothing at all, its price at `until`.
        """
        held = self.stretches(since, until)
        if not held:
            return Price(self.prices[self.place(until)])
        wanted = share * sum(length for _, length in held) - 1e-6
        held.sort()
        reached = 0.0
        for price, length in held:
            reached += length
            if reached >= wanted:
                return Price(price)
        return Price(held[-1][0])

    def range(self, *, since: float, until: float) -> tuple[Price, Price]:
        """Return the least and the highest price between those seconds."""
        held = [price for price, _ in self.stretches(since, until)]
        held = held or [self.prices[self.place(until)]]
        return Price(min(held)), Price(max(held))


def track_of(
    points: Iterable[tuple[datetime, Price]], *, until: datetime, source: str = ""
) -> PriceTrack:
    """Return the track through points in any order; of several at one time the last counts, repeats are left out.

    Raises:
        ValueError: there is no point before `until`.
    """
    end = until.timestamp()
    found: dict[float, int] = {}
    for at, price in points:
        if at.timestamp() < end:
            found[at.timestamp()] = price.micros
    starts: list[float] = []
    prices: list[int] = []
    for start in sorted(found):
        if not prices or prices[-1] != found[start]:
            starts.append(start)
            prices.append(found[start])
    return PriceTrack(
        starts=tuple(starts),
        prices=tuple(prices),
        end=end,
        source=source,
        newest=max(found, default=None),
    )


def moment_of(seconds: float) -> datetime:
    """Return the moment that so many seconds after 1970 are, in UTC."""
    return datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=seconds)
