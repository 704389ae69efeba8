"""A track for questions about a window that moves forward, as a back-test asks ten thousand times.

How long each price held within the window is kept in a Fenwick tree over the ranks of prices (Fenwick, 1994), so that a
question costs the logarithm of how many prices there are, and what came and went since the one before. Lengths are
whole microseconds: sums that are added to and taken from stay exact.
"""

from __future__ import annotations

from bisect import bisect_left

from attrs import field, frozen

from flow_core.domain.money import Price
from flow_core.domain.price_track import PriceTrack

_MICROS = 1_000_000


@frozen(kw_only=True)
class RollingTrack(PriceTrack):
    """The same prices, and the same answers, quick for windows that never move backwards."""

    _window: _Window = field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        PriceTrack.__attrs_post_init__(self)
        object.__setattr__(self, "_window", _Window(self))

    def quantile(self, share: float, *, since: float, until: float) -> Price:
        """See `PriceTrack.quantile`."""
        found = self._window.quantile(share, max(since, self.starts[0]), min(until, self.end))
        if found is None:
            return PriceTrack.quantile(self, share, since=since, until=until)
        return Price(found)


def rolling(track: PriceTrack) -> RollingTrack:
    """Return `track` for a window that moves forward."""
    return RollingTrack(
        starts=track.starts,
        prices=track.prices,
        end=track.end,
        source=track.source,
        newest=track.newest,
    )


class _Window:
    """The stretches from `first` to before `last` lie in the tree, whole."""

    def __init__(self, track: PriceTrack) -> None:
        self._starts = track.starts
        self._edges = [round(start * _MICROS) for start in (*track.starts, track.end)]
        self._levels = sorted(set(track.prices))
        rank = {price: place for place, price in enumerate(self._levels)}
        self._ranks = [rank[price] for price in track.prices]
        self._clear(0)

    def quantile(self, share: float, since: float, until: float) -> int | None:
        """Return the price, or None where the window has no whole stretch in it."""
        first = bisect_left(self._starts, since)
        last = bisect_left(self._starts, until) - 1
        if first >= last:
            return None
        if first < self._first or last < self._last or first >= self._last:
            self._clear(first)
        while self._last < last:
            self._add(self._last, self._length(self._last))
            self._last += 1
        while self._first < first:
            self._add(self._first, -self._length(self._first))
            self._first += 1
        before = self._edges[first] - round(since * _MICROS) if first else 0
        after = round(until * _MICROS) - self._edges[last]
        if first:
            self._add(first - 1, before)
        self._add(last, after)
        found = self._levels[self._search(share * self._total - 1)]
        if first:
            self._add(first - 1, -before)
        self._add(last, -after)
        return found

    def _clear(self, place: int) -> None:
        self._tree = [0] * (len(self._levels) + 1)
        self._total = 0
        self._first = self._last = place

    def _length(self, place: int) -> int:
        return self._edges[place + 1] - self._edges[place]

    def _add(self, place: int, length: int) -> None:
        self._total += length
        tree, node = self._tree, self._ranks[place] + 1
        while node < len(tree):
            tree[node] += length
            node += node & -node

    def _search(self, wanted: float) -> int:
        """Return the least rank up to which `wanted` microseconds have been reached."""
        tree, node, left = self._tree, 0, wanted
        step = 1 << (len(tree) - 1).bit_length()
        while step:
            below = node + step
            if below < len(tree) and tree[below] < left:
                node, left = below, left - tree[below]
            step >>= 1
        return min(node, len(self._levels) - 1)
