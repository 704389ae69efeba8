"""Where prices next cross a level, found by leaps: a market that moves every two minutes seldom crosses a limit.

Row `k` of a table holds the extreme of the `2 ** k` prices from each place on (Bender and Farach-Colton's sparse table,
2000). A question leaps twice as far each time, then half as far, so that it costs the logarithm of the distance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence


class Turns:
    """The prices of a market, ready to be asked where they pass a level."""

    def __init__(self, prices: Sequence[int]) -> None:
        self._highest = _table(prices, max)
        self._lowest = _table(prices, min)

    def above(self, level: int, place: int) -> int:
        """Return the first place from `place` on whose price is over `level`; how many there are where none is."""
        rows, row = self._highest, 0
        while place < len(rows[row]) and rows[row][place] <= level:
            place += 1 << row
            row = min(row + 1, len(rows) - 1)
        while row:
            row -= 1
            if place < len(rows[row]) and rows[row][place] <= level:
                place += 1 << row
        return place

    def within(self, level: int, place: int) -> int:
        """Return the first place from `place` on whose price is `level` or less; how many there are where none is."""
        rows, row = self._lowest, 0
        while place < len(rows[row]) and rows[row][place] > level:
            place += 1 << row
            row = min(row + 1, len(rows) - 1)
        while row:
            row -= 1
            if place < len(rows[row]) and rows[row][place] > level:
                place += 1 << row
        return place


def _table(prices: Iterable[int], extreme: Callable[[int, int], int]) -> list[list[int]]:
    rows = [list(prices)]
    while len(rows[-1]) > 1 << (len(rows) - 1):
        last, leap = rows[-1], 1 << (len(rows) - 1)
        rows.append(list(map(extreme, last, last[leap:])))
    return rows
