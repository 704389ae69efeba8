"""What became of instances: their statuses, and what each cost."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from flow_providers.mock.estate.rows import ReservationRow
from flow_providers.mock.http import models
from flow_providers.mock.http.calls import Call, Route
from flow_providers.mock.http.holdings import Held, held_by, instance, owners_in, owners_of
from flow_providers.mock.http.messages import Json, Response, ok
from flow_providers.mock.http.paging import page
from flow_providers.mock.http.shapes import text, when, whole
from flow_providers.mock.http.wire import cents
from flow_providers.mock.http.wire import when as written

Told = dict[str, list[Json]]


def show_statuses(call: Call) -> Response:
    """Return the statuses that instances passed through, oldest first."""

    def told(shown: list[Held]) -> Told:
        found: Told = {held.node.id: [] for held in shown}
        for each in call.world.events.of(found):
            if _is_within(call, each.at, each.at):
                found[each.about].append({"timestamp": written(each.at), "status": each.what})
        return found

    return _histories(call, told)


def show_prices(call: Call) -> Response:
    """Return what instances cost per hour, and when, oldest first; times that weren't charged are left out."""

    def told(shown: list[Held]) -> Told:
        owners = {held.owner.id for held in shown if held.bid is not None}
        stretches = call.world.stretches.of(owners)
        found: Told = {held.node.id: [] for held in shown}
        for held in shown:
            if isinstance(held.owner, ReservationRow):
                found[held.node.id] = _reserved(call, held, held.owner)
                continue
            found[held.node.id] = [
                _priced(cents(each.price), each.since, each.until)
                for each in stretches
                if each.bid == held.owner.id
                and _is_within(call, each.since, each.until or call.now)
                and (each.until is None or each.until > held.created_at)
            ]
        return found

    return _histories(call, told)


def _histories(call: Call, told: Callable[[list[Held]], Told]) -> Response:
    asked = call.query
    project = call.project(asked["project"])
    shown, cursor = page(
        _chosen(call, project),
        key=Held.by_age,
        order="created_at",
        limit=asked["limit"],
        cursor=asked["next_cursor"],
    )
    events = told(shown)
    return ok(
        {
            "instances": [
                {
                    "instance_fid": held.node.id,
                    "events": events[held.node.id],
                    "bid_fid": held.bid,
                    "reservation_fid": held.reservation,
                }
                for held in shown
            ],
            "next_cursor": cursor,
        }
    )


def _chosen(call: Call, project: str) -> list[Held]:
    asked = call.query
    if asked["instance_fid"] is not None:
        held = instance(call, asked["instance_fid"])
        return [held] if held.owner.project == project else []
    named = [each for each in (asked["bid_fid"], asked["reservation_fid"]) if each is not None]
    owners = owners_of(call, named, project) if named else owners_in(call, {project})
    return list(held_by(call, owners))


def _is_within(call: Call, since: datetime, until: datetime) -> bool:
    start, end = call.query["start_time"], call.query["end_time"]
    return (start is None or until >= start) and (end is None or since <= end)


def _reserved(call: Call, held: Held, row: ReservationRow) -> list[Json]:
    if not _is_within(call, held.created_at, row.ended_at or call.now):
        return []
    return [_priced(cents(row.unit_price), held.created_at, row.ended_at)]


def _priced(amount: int, since: datetime, until: datetime | None) -> Json:
    return {
        "price_cents": amount,
        "start_time": written(since),
        "end_time": written(until) if until is not None else None,
    }


_QUERY = {
    "project": text(), "instance_fid": text(), "bid_fid": text(), "reservation_fid": text(),
    "start_time": when(), "end_time": when(), "limit": whole(least=1, most=100), "next_cursor": text(),
}  # fmt: skip
ROUTES = (
    Route(
        method="GET", path="/v2/instances/status/history", summary="Read instances' statuses over time.",
        answer=show_statuses, replies={200: models.STATUS_HISTORY}, query=_QUERY, required=("project",),
        errors=(404,),
    ),
    Route(
        method="GET", path="/v2/instances/pricing/history", summary="Read instances' prices over time.",
        answer=show_prices, method_name="usage", replies={200: models.PRICING_HISTORY}, query=_QUERY,
        required=("project",), errors=(404,),
    ),
)  # fmt: skip
