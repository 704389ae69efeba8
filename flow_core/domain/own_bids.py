"""What the user's own bids were in one market: their limits over time, when nodes were won, and when they were lost."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

from attrs import frozen

from flow_core.domain.budget import Usage
from flow_core.domain.money import Price
from flow_core.domain.record import TaskRecord


@frozen(kw_only=True)
class OwnBid:
    """One bid: its limit as it is now, from when to when it stood, and when the market gave and took its nodes.

    `until` is None while it stands.
    """

    task: str
    limit: Price
    since: datetime
    until: datetime | None
    wins: tuple[datetime, ...] = ()
    losses: tuple[datetime, ...] = ()


def own_bid(record: TaskRecord, stretches: Sequence[Usage]) -> OwnBid:
    """Return a record's bid. `stretches` are its paid times, empty where nobody tells them.

    A gap between paid times is a preemption where the record knows of any; a pause, which leaves a gap too, is told
    apart only in that way.
    """
    wins = [] if record.began_at is None else [record.began_at]
    losses: list[datetime] = []
    if record.preemptions:
        for before, after in pairwise(stretches):
            if before.until is not None and before.until < after.since:
                losses.append(before.until)
                wins.append(after.since)
    if stretches and record.preemptions > len(losses) and not record.has_ended:
        end = stretches[-1].until
        losses += [end] if end is not None else []
    return OwnBid(
        task=record.name,
        limit=record.limit,
        since=record.sent_at or record.created_at,
        until=record.ended_at,
        wins=tuple(wins),
        losses=tuple(losses),
    )
