"""A price over time, as a drawing for the terminal: dots in braille, or plain letters where those can't be shown.

Each column of dots spans from the least to the highest price of its stretch of time, so that a peak is never lost
between two columns. Marks stand over the dots, and differ by shape, not only by colour.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from attrs import frozen

from flow_cli.show.layout import Cell, Drawing
from flow_cli.show.text import clean
from flow_core.domain.money import Price
from flow_core.domain.own_bids import OwnBid
from flow_core.domain.price_track import PriceTrack, moment_of

#: A limit higher than this many times the highest price would flatten the chart; it is only told.
MOST_ABOVE = 2
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_PRICE, _LIMIT, _WON, _LOST, _DIM = "cyan", "yellow", "bold green", "bold red", "dim"


@frozen(kw_only=True)
class Glyphs:
    """What marks look like; `dots` says whether braille can be shown."""

    dots: bool
    limit: str
    won: str
    lost: str
    side: str
    corner: str
    base: str


UNICODE = Glyphs(dots=True, limit="┄", won="▲", lost="▼", side="┤", corner="└", base="─")
ASCII = Glyphs(dots=False, limit="-", won="^", lost="v", side="|", corner="+", base="-")


@frozen(kw_only=True)
class Scale:
    """From the least to the most that a chart shows, in micro-dollars, and from when to when, in seconds."""

    low: int
    high: int
    begin: float
    end: float

    def up(self, micros: int) -> float:
        """Return how high an amount lies, from 0 to 1 on the chart."""
        return (micros - self.low) / (self.high - self.low)

    def along(self, seconds: float) -> float:
        """Return how far along a moment lies, from 0 to 1 on the chart."""
        return (seconds - self.begin) / (self.end - self.begin)


def scale_of(track: PriceTrack, bids: Sequence[OwnBid], *, since: datetime) -> Scale:
    """Return a scale that holds all prices since then, and the limits that don't flatten them."""
    begin = max(since.timestamp(), track.starts[0])
    least, most = track.range(since=begin, until=track.end)
    shown = [bid.limit.micros for bid in bids if is_shown(bid, most)]
    low, high = min([least.micros, *shown]), max([most.micros, *shown])
    room = max((high - low) // 20, 10_000)
    return Scale(low=max(low - room, 0), high=high + room, begin=begin, end=track.end)


def is_shown(bid: OwnBid, most: Price) -> bool:
    """Whether a bid's limit is drawn, where `most` is the highest price."""
    return bid.limit.micros <= most.micros * MOST_ABOVE


def price_chart(
    track: PriceTrack,
    bids: Sequence[OwnBid],
    *,
    since: datetime,
    width: int,
    height: int,
    glyphs: Glyphs = UNICODE,
) -> Drawing:
    """Return the chart, exactly `width` wide at most and `height` lines of prices high, its axis and legend below."""
    scale = scale_of(track, bids, since=since)
    label = max(len(_dollars(amount)) for amount in (scale.low, scale.high))
    columns = max(width - label - 2, 8)
    cells = _price_cells(track, scale, columns, height, glyphs)
    _draw_bids(cells, track, bids, scale, glyphs)
    lines = [
        (Cell(text.rjust(label) + " ", _DIM), Cell(glyphs.side, _DIM), *_runs(row))
        for text, row in zip(_labels(scale, height), cells, strict=True)
    ]
    lines += _axis(scale, columns, label, glyphs)
    _, most = track.range(since=scale.begin, until=scale.end)
    lines += _legend(bids, most, width, glyphs)
    return Drawing(tuple(lines))


def _price_cells(
    track: PriceTrack, scale: Scale, columns: int, height: int, glyphs: Glyphs
) -> list[list[Cell]]:
    """Return rows of cells, the highest first, with the price in them."""
    across, up = (2, 4) if glyphs.dots else (1, 1)
    bits = [[0] * columns for _ in range(height)]
    step = (scale.end - scale.begin) / (columns * across)
    for place in range(columns * across):
        begin = scale.begin + place * step
        # A little of what came before, so that a change between two columns joins them.
        least, most = track.range(since=begin - step / 100, until=begin + step)
        low, high = (_level(scale, each.micros, height * up) for each in (least, most))
        for level in range(low, high + 1):
            row, dot = divmod(height * up - 1 - level, up)
            bits[row][place // across] |= _DOTS[dot][place % across] if glyphs.dots else 1
    return [[Cell(_letter(bit, glyphs), _PRICE if bit else "") for bit in row] for row in bits]


def _letter(bits: int, glyphs: Glyphs) -> str:
    if not bits:
        return " "
    return chr(0x2800 + bits) if glyphs.dots else "#"


def _draw_bids(
    cells: list[list[Cell]],
    track: PriceTrack,
    bids: Sequence[OwnBid],
    scale: Scale,
    glyphs: Glyphs,
) -> None:
    height, columns = len(cells), len(cells[0])
    _, most = track.range(since=scale.begin, until=scale.end)
    for bid in bids:
        end = scale.end if bid.until is None else bid.until.timestamp()
        if is_shown(bid, most) and end > scale.begin:
            row = height - 1 - _level(scale, bid.limit.micros, height)
            first = _column(scale, max(bid.since.timestamp(), scale.begin), columns)
            for place in range(first, _column(scale, min(end, scale.end), columns) + 1):
                if cells[row][place].text == " ":
                    cells[row][place] = Cell(glyphs.limit, _LIMIT)
    for moments, glyph, style in (
        ((bid.wins for bid in bids), glyphs.won, _WON),
        ((bid.losses for bid in bids), glyphs.lost, _LOST),
    ):
        for moment in _flat(moments):
            if scale.begin <= moment.timestamp() <= scale.end:
                row = height - 1 - _level(scale, track.at(moment).micros, height)
                cells[row][_column(scale, moment.timestamp(), columns)] = Cell(glyph, style)


def _flat(many: Iterable[Sequence[datetime]]) -> list[datetime]:
    return [moment for moments in many for moment in moments]


def _level(scale: Scale, micros: int, levels: int) -> int:
    return min(max(int(scale.up(micros) * levels), 0), levels - 1)


def _column(scale: Scale, seconds: float, columns: int) -> int:
    return min(max(int(scale.along(seconds) * columns), 0), columns - 1)


def _runs(row: Sequence[Cell]) -> list[Cell]:
    """Join neighbours of one style, so that a line is few pieces."""
    found: list[Cell] = []
    for cell in row:
        if found and found[-1].style == cell.style:
            found[-1] = Cell(found[-1].text + cell.text, cell.style)
        else:
            found.append(cell)
    return found


def _labels(scale: Scale, height: int) -> list[str]:
    """Return what stands beside each row: a price at the top, at the bottom and at every third in between."""
    found = []
    for row in range(height):
        middle = scale.high - (scale.high - scale.low) * (row + 0.5) / height
        found.append(_dollars(int(middle)) if row % 3 == 0 or row == height - 1 else "")
    if height > 2 and (height - 1) % 3 == 1:
        found[-2] = ""
    return found


def _dollars(micros: int) -> str:
    return str(Price.from_cents(round(micros / 10_000)))


def _axis(scale: Scale, columns: int, label: int, glyphs: Glyphs) -> list[tuple[Cell, ...]]:
    line = " " * (label + 1) + glyphs.corner + glyphs.base * columns
    times = ""
    marks = max(min(columns // 18, 6), 2)
    for place in range(marks):
        moment = scale.begin + (scale.end - scale.begin) * place / (marks - 1)
        text = when(moment, scale)
        at = round(columns * place / (marks - 1)) - len(text) * place // (marks - 1)
        if place == 0 or at > len(times):  # what would run into the one before is left out
            times = times.ljust(at) + text
    return [
        (Cell(line, _DIM),),
        (Cell(" " * (label + 2) + times[:columns], _DIM),),
    ]


def when(seconds: float, scale: Scale) -> str:
    """Return a moment as an axis says it: with the day, and the time where that tells more."""
    moment = moment_of(seconds)
    if scale.end - scale.begin > timedelta(days=14).total_seconds():
        return f"{moment:%b} {moment.day}"
    return f"{moment:%b} {moment.day} {moment:%H:%M}"


def _legend(
    bids: Sequence[OwnBid], most: Price, width: int, glyphs: Glyphs
) -> list[tuple[Cell, ...]]:
    if not bids:
        return []
    parts = [
        (Cell(glyphs.limit * 2 + " ", _LIMIT), Cell("your limit  ")),
        (Cell(glyphs.won + " ", _WON), Cell("nodes won  ")),
        (Cell(glyphs.lost + " ", _LOST), Cell("nodes lost to the market")),
    ]
    lines: list[tuple[Cell, ...]] = [tuple(cell for part in parts for cell in part)]
    for bid in bids:
        if not is_shown(bid, most):
            text = f"the limit of {clean(bid.task)}, {bid.limit}/hr, is above the chart"
            lines.append((Cell(text[:width], _DIM),))
    return lines
