"""The usage role: paid stretches, joined from what each instance was and what it cost.

Mithril tells an instance's statuses with the moment each began, and its prices with the stretch each held. Time is paid
for while both say so: an instance that starts, is stopped or has gone costs nothing, and neither does one without a
price. The instances of a bid are then laid over each other. Source: contract section 3, "STARTING not charged"; whether
the price history leaves that time out by itself is documented nowhere, so both histories have to agree.

What we don't like: instances of one bid always pay one price, but nothing in the answers holds them to it. Where they
differ, a stretch counts one node at the sum of the prices, so that at least the money is right.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from attrs import frozen

from flow_core.domain.budget import Usage
from flow_core.domain.money import Price
from flow_core.errors import NotFound
from flow_providers.mithril import wire
from flow_providers.mithril.bids import Bids
from flow_providers.mithril.client import PAGE, Client
from flow_providers.mithril.encoding import instant

#: Up to so many bids are asked for one by one rather than by a sweep of the project.
FEW = 4
_MARGIN = timedelta(minutes=1)

#: Statuses in which an instance is not charged for. One that is unknown is: better to fear a cost than to miss it.
FREE = frozenset(
    {
        "STATUS_NEW",
        "STATUS_CONFIRMED",
        "STATUS_SCHEDULED",
        "STATUS_INITIALIZING",
        "STATUS_STARTING",
        "STATUS_PREEMPTED",
        "STATUS_PAUSED",
        "STATUS_STOPPED",
        "STATUS_TERMINATED",
        "STATUS_REPLACED",
        "STATUS_ERROR",
    }
)


@frozen
class Paid:
    """One instance at one price; `until` is None while it goes on."""

    since: datetime
    until: datetime | None
    price: Price


class MithrilUsage:
    """Implements `ports.usage.UsageHistory` over the two histories below /v2/instances."""

    def __init__(self, client: Client, *, bids: Bids) -> None:
        self._client = client
        self._bids = bids

    def usage(self, bid_ids: Collection[str]) -> Mapping[str, Sequence[Usage]]:
        """See `UsageHistory.usage`."""
        asked = list(dict.fromkeys(bid_ids))
        if len(asked) <= FEW:
            return {each: self._of_one(each) for each in asked}
        known = self._bids.fresh(asked)
        if not known:
            return {each: [] for each in asked}
        since = min(bid.created_at for bid in known.values()) - _MARGIN
        statuses, prices = self._histories({"start_time": instant(since)})
        return {
            each: _stretches(
                each,
                [history for history in statuses if history.bid_fid == each],
                [history for history in prices if history.bid_fid == each],
            )
            for each in asked
        }

    def _of_one(self, bid_id: str) -> Sequence[Usage]:
        try:
            statuses, prices = self._histories({"bid_fid": bid_id})
        except NotFound:
            return []
        return _stretches(
            bid_id,
            [history for history in statuses if history.bid_fid in (None, bid_id)],
            [history for history in prices if history.bid_fid in (None, bid_id)],
        )

    def _histories(
        self, narrowed: Mapping[str, str]
    ) -> tuple[list[wire.StatusHistory], list[wire.PriceHistory]]:
        query = {"project": self._client.project, "limit": PAGE, **narrowed}
        return (
            self._client.listed(
                "read usage", wire.StatusHistory, "/v2/instances/status/history", query
            ),
            self._client.listed(
                "read usage", wire.PriceHistory, "/v2/instances/pricing/history", query
            ),
        )


def _stretches(
    bid_id: str, statuses: Iterable[wire.StatusHistory], prices: Iterable[wire.PriceHistory]
) -> list[Usage]:
    was: dict[str, list[wire.StatusEvent]] = {}
    for status in statuses:  # one instance's events may lie on several pages
        was.setdefault(status.instance_fid, []).extend(status.events)
    cost: dict[str, list[wire.PriceEvent]] = {}
    for price in prices:
        cost.setdefault(price.instance_fid, []).extend(price.events)
    paid = [each for fid, events in cost.items() for each in paid_by(was.get(fid, []), events)]
    return laid_over(bid_id, paid)


def paid_by(
    statuses: Sequence[wire.StatusEvent], prices: Sequence[wire.PriceEvent]
) -> Iterator[Paid]:
    """Yield the paid time of one instance: each price's stretch, less the time that is free."""
    busy = list(_busy(statuses))
    for price in prices:
        for since, until in busy if statuses else [(price.start_time, price.end_time)]:
            start = max(since, price.start_time)
            end = _earlier(until, price.end_time)
            if end is None or start < end:
                yield Paid(start, end, Price.from_cents(max(price.price_cents, 0)))


def laid_over(bid_id: str, paid: Sequence[Paid]) -> list[Usage]:
    """Return stretches without overlap, each with how many nodes were paid for, and at what price."""
    moments = sorted({each.since for each in paid} | {each.until for each in paid if each.until})
    found: list[Usage] = []
    for number, since in enumerate(moments):
        until = moments[number + 1] if number + 1 < len(moments) else None
        held = [
            each.price
            for each in paid
            if each.since <= since and (each.until is None or each.until > since)
        ]
        if not held:
            continue
        nodes, price = len(held), held[0]
        if any(each != price for each in held):
            nodes, price = 1, Price(sum(each.micros for each in held))
        last = found[-1] if found else None
        if last is not None and (last.until, last.nodes, last.price) == (since, nodes, price):
            found.pop()
            since = last.since
        found.append(Usage(bid_id=bid_id, nodes=nodes, price=price, since=since, until=until))
    return found


def _busy(statuses: Sequence[wire.StatusEvent]) -> Iterator[tuple[datetime, datetime | None]]:
    ordered = sorted(statuses, key=lambda event: event.timestamp)
    for number, event in enumerate(ordered):
        following = ordered[number + 1 : number + 2]
        if event.status not in FREE:
            yield event.timestamp, following[0].timestamp if following else None


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    if one is None or other is None:
        return one or other
    return min(one, other)
