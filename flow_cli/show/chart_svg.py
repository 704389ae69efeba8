"""A price over time as SVG: one picture in one file, without scripts or fonts of its own, readable without colour."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from xml.sax.saxutils import escape, quoteattr

from flow_cli.show.chart import Scale, is_shown, scale_of, when
from flow_cli.show.text import clean, clock_time
from flow_core.domain.money import Price
from flow_core.domain.own_bids import OwnBid
from flow_core.domain.price_track import PriceTrack

WIDTH, HEIGHT = 960, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 72, 24, 48, 64
_INK, _FAINT, _GRID = "#1f2937", "#6b7280", "#e5e7eb"
_PRICE, _LIMIT, _WON, _LOST = "#0369a1", "#b45309", "#15803d", "#b91c1c"
_STYLE = "font-family:system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;font-size:13px"
#: Characters of a caption that fit over the chart.
_CAPTION = 110


def price_svg(
    track: PriceTrack, bids: Sequence[OwnBid], *, since: datetime, title: str, note: str
) -> str:
    """Return the picture; `title` stands over it, `note` below."""
    scale = scale_of(track, bids, since=since)
    _, most = track.range(since=scale.begin, until=scale.end)
    shown = [bid for bid in bids if is_shown(bid, most)]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'height="{HEIGHT}" role="img" aria-label={quoteattr(clean(title))} style="{_STYLE}">',
        f"<title>{escape(clean(title))}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{_LEFT}" y="28" fill="{_INK}" font-size="16" font-weight="600">'
        f"{escape(clean(title)[:_CAPTION])}</text>",
        *_grid(scale),
        _path(track, scale),
        *(_limit(bid, scale) for bid in shown),
        *(_mark(bid, moment, track, scale, won=True) for bid in bids for moment in bid.wins),
        *(_mark(bid, moment, track, scale, won=False) for bid in bids for moment in bid.losses),
        *_legend(bool(bids)),
        f'<text x="{WIDTH - _RIGHT}" y="{HEIGHT - 14}" fill="{_FAINT}" text-anchor="end">'
        f"{escape(clean(note)[:_CAPTION])}</text>",
        "</svg>",
    ]
    return "\n".join(part for part in parts if part) + "\n"


def _x(scale: Scale, seconds: float) -> float:
    along = min(max(scale.along(seconds), 0.0), 1.0)
    return _LEFT + along * (WIDTH - _LEFT - _RIGHT)


def _y(scale: Scale, micros: int) -> float:
    return HEIGHT - _BOTTOM - scale.up(micros) * (HEIGHT - _TOP - _BOTTOM)


def _grid(scale: Scale) -> list[str]:
    parts = []
    for place in range(5):
        micros = scale.low + (scale.high - scale.low) * place // 4
        y = _y(scale, micros)
        label = Price.from_cents(round(micros / 10_000))
        parts.append(f'<path d="M{_LEFT} {y:.1f}H{WIDTH - _RIGHT}" stroke="{_GRID}"/>')
        parts.append(
            f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" fill="{_FAINT}" text-anchor="end">{label}</text>'
        )
    for place in range(6):
        seconds = scale.begin + (scale.end - scale.begin) * place / 5
        anchor = "start" if place == 0 else "end" if place == 5 else "middle"
        parts.append(
            f'<text x="{_x(scale, seconds):.1f}" y="{HEIGHT - _BOTTOM + 20}" fill="{_FAINT}" '
            f'text-anchor="{anchor}">{when(seconds, scale)}</text>'
        )
    return parts


def _path(track: PriceTrack, scale: Scale) -> str:
    """Return the price as steps; runs that would fall on one pixel are drawn as their span."""
    moves: list[str] = []
    at = scale.begin
    for price, length in track.stretches(scale.begin, scale.end):
        x, y = _x(scale, at), _y(scale, price)
        moves.append(f"{'L' if moves else 'M'}{x:.1f} {y:.1f}" + f"H{_x(scale, at + length):.1f}")
        at += length
    return f'<path d="{"".join(moves)}" fill="none" stroke="{_PRICE}" stroke-width="1.5"/>'


def _limit(bid: OwnBid, scale: Scale) -> str:
    end = scale.end if bid.until is None else bid.until.timestamp()
    begin, y = bid.since.timestamp(), _y(scale, bid.limit.micros)
    if end < scale.begin:
        return ""
    told = escape(f"{clean(bid.task)}: limit {bid.limit}/hr from {clock_time(bid.since)}")
    return (
        f'<path d="M{_x(scale, begin):.1f} {y:.1f}H{_x(scale, end):.1f}" stroke="{_LIMIT}" '
        f'stroke-width="2" stroke-dasharray="6 4"><title>{told}</title></path>'
    )


def _mark(bid: OwnBid, moment: datetime, track: PriceTrack, scale: Scale, *, won: bool) -> str:
    if not scale.begin <= moment.timestamp() <= scale.end:
        return ""
    x, y = _x(scale, moment.timestamp()), _y(scale, track.at(moment).micros)
    colour, tip = (_WON, -6) if won else (_LOST, 6)
    what = "won its nodes" if won else "lost its nodes to the market"
    told = escape(f"{clean(bid.task)} {what} at {clock_time(moment)}")
    return (
        f'<path d="M{x:.1f} {y + tip:.1f}l6 {-2 * tip}h-12z" fill="{colour}" stroke="#ffffff">'
        f"<title>{told}</title></path>"
    )


def _legend(has_bids: bool) -> list[str]:
    y = HEIGHT - 18
    parts = [
        f'<path d="M{_LEFT} {y}h22" stroke="{_PRICE}" stroke-width="1.5"/>',
        f'<text x="{_LEFT + 28}" y="{y + 4}" fill="{_INK}">price</text>',
    ]
    if not has_bids:
        return parts
    dashes = f'stroke="{_LIMIT}" stroke-width="2" stroke-dasharray="6 4"'
    for x, words, drawn in (
        (90, "your limit", f'<path d="M{_LEFT + 90} {y}h22" {dashes}/>'),
        (206, "nodes won", f'<path d="M{_LEFT + 217} {y - 6}l6 12h-12z" fill="{_WON}"/>'),
        (320, "nodes lost", f'<path d="M{_LEFT + 331} {y + 6}l6 -12h-12z" fill="{_LOST}"/>'),
    ):  # fmt: skip
        parts += [drawn, f'<text x="{_LEFT + x + 28}" y="{y + 4}" fill="{_INK}">{words}</text>']
    return parts
