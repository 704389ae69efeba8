"""What one market cost over time, in words and as a document."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from flow_cli.show.text import dollars, stamp
from flow_core.domain.bid import Quote
from flow_core.domain.duration import rough_duration
from flow_core.domain.own_bids import OwnBid
from flow_core.domain.price_track import PriceTrack, moment_of


def history_heading(
    quote: Quote, track: PriceTrack, *, since: datetime, simulated: bool
) -> tuple[str, str]:
    """Return a line to stand over a chart, and one to stand below it: how it was, and who says so."""
    begin = max(since.timestamp(), track.starts[0])
    low, high = track.range(since=begin, until=track.end)
    half, most = (track.quantile(share, since=begin, until=track.end) for share in (0.5, 0.9))
    seen = rough_duration(timedelta(seconds=track.end - begin))
    title = f"{quote.shape} in {quote.region}: {quote.price}/hr now, {low} to {high} in {seen}"
    told = "simulated" if simulated else track.source
    return title, f"median {half}, p90 {most}; {told}; times are UTC"


def history_json(
    quote: Quote, track: PriceTrack, bids: Sequence[OwnBid], *, since: datetime, simulated: bool
) -> dict[str, object]:
    """Return the payload of a `price-history` document."""
    begin = max(since.timestamp(), track.starts[0])
    first = track.place(begin)
    starts = [max(start, begin) for start in track.starts[first:]]
    return {
        "instance_type": str(quote.shape),
        "region": quote.region,
        "type_id": quote.type_id,
        "source": track.source,
        "simulated": simulated,
        "since": stamp(moment_of(begin)),
        "until": stamp(track.until),
        "points": [
            {"at": stamp(moment_of(start)), "price_per_hour": dollars(track.at(moment_of(start)))}
            for start in starts
        ],
        "bids": [
            {
                "task": bid.task,
                "limit_per_hour": dollars(bid.limit),
                "since": stamp(bid.since),
                "until": stamp(bid.until),
                "won_at": [stamp(moment) for moment in bid.wins],
                "lost_at": [stamp(moment) for moment in bid.losses],
            }
            for bid in bids
        ],
    }
