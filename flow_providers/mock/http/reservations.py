"""Reservations: offered, made, listed, extended, paused, given back in part."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from attrs import evolve

from flow_core.domain.allocation import NodeState
from flow_core.domain.money import Price, Spend
from flow_providers.mock.estate import reserving
from flow_providers.mock.estate.rows import ReservationRow
from flow_providers.mock.http import models
from flow_providers.mock.http.calls import Call, Route, known
from flow_providers.mock.http.catalog import type_document
from flow_providers.mock.http.launching import attachments, launch_document, launch_of
from flow_providers.mock.http.messages import Json, Refused, Response, created, ok
from flow_providers.mock.http.paging import Key, page
from flow_providers.mock.http.shapes import many, one_of, page_of, record, text, when, whole
from flow_providers.mock.http.wire import cents, dollars, when_known
from flow_providers.mock.http.wire import when as written
from flow_providers.mock.rows import LaunchRow, MarketRow

PATH = "/v2/reservation"
ONE = PATH + "/{reservation_fid}"
OFFER = "standard"


def list_types(call: Call) -> Response:
    """Return the instance types that can be reserved: all that have GPUs."""
    rows = [type_document(market) for market in call.world.markets.live()]
    return ok([row for row in rows if row["num_gpus"]])


def quote(call: Call) -> Response:
    """Return what a term would cost; no offers when it can't be had."""
    asked = call.query
    call.project(asked["project"])
    market = call.market(asked["instance_type"], asked["region"])
    start, end, quantity = asked["start_time"], asked["end_time"], asked["quantity"]
    _check_term(start, end, call.now)
    if not _fits(call, market, start, end, quantity):
        return ok({"offers": []})
    unit = reserving.unit_price(market)
    total = (unit * quantity).over(end - start)
    return ok(
        {
            "offers": [
                {
                    "key": OFFER,
                    "display_name": "Standard",
                    "unit_price": dollars(unit),
                    "return_buyback_price": dollars(reserving.return_price(unit)),
                    "pause_buyback_price": dollars(reserving.pause_price(unit)),
                    "total_price": dollars(_whole_cents(total)),
                    "total_etbp_value": dollars(_share(reserving.return_price(unit), quantity, start, end)),
                    "total_fubp_value": dollars(_share(reserving.pause_price(unit), quantity, start, end)),
                    "option_premium": "$0.00",
                }
            ]
        }
    )  # fmt: skip


def show_free_time(call: Call) -> Response:
    """Return, by `mode`, the free times, the latest end from a start, or whether a term is free."""
    asked = call.query
    call.project(asked["project"])
    market = call.market(asked["instance_type"], asked["region"])
    if asked["mode"] == "slots":
        first, last = _needed(asked, "earliest_start_time"), _needed(asked, "latest_end_time")
        found = [gap for gap in reserving.gaps(call.world, market, first, last) if gap.quantity]
        return ok(
            [
                {
                    "start_time": written(gap.start),
                    "end_time": written(gap.end),
                    "quantity": gap.quantity,
                }
                for gap in found
            ]
        )
    start: datetime = _needed(asked, "start_time")
    quantity: int = _needed(asked, "quantity")
    if asked["mode"] == "check":
        return ok({"available": _fits(call, market, start, _needed(asked, "end_time"), quantity)})
    latest = reserving.latest_end(call.world, market, start, quantity, since=start)
    is_long = latest - start >= reserving.SHORTEST
    return ok({"latest_end_time": written(latest), "available": is_long})


def create_reservation(call: Call) -> Response:
    """Make a reservation, and return it."""
    asked = call.body
    project = call.project(asked["project"])
    market = call.market(asked["instance_type"], asked["region"])
    start, end, quantity = asked["start_time"], asked["end_time"], asked["instance_quantity"]
    _check_term(start, end, call.now)
    if not _fits(call, market, start, end, quantity):
        raise Refused(409, f"{quantity} instances are not free in {market.region} for that time")
    _check_price(reserving.unit_price(market), asked["price_specification"])
    launch = launch_of(
        call, asked["launch_specification"], project=project, region=market.region, quantity=quantity
    )  # fmt: skip
    row = reserving.create(
        call.world, call.rules, call.now, market=market, name=asked["name"], owner=call.me.id,
        project=project, quantity=quantity, start=start, end=end,
        volumes=tuple(each.volume_id for each in launch.attachments),
    )  # fmt: skip
    call.world.launches.put(
        LaunchRow(
            id=row.id, script=launch.script, image=launch.image, keys=launch.keys,
            attachments=launch.attachments, memory_gb=asked["launch_specification"]["memory_gb"],
            cluster=asked["launch_specification"]["kubernetes_cluster"],
        )
    )  # fmt: skip
    return created(documents(call, [row])[0])


def list_reservations(call: Call) -> Response:
    """Return a page of a project's reservations, newest first unless told otherwise."""
    asked = call.query
    project = call.project(asked["project"])
    markets = {
        market.id
        for market in call.world.markets.live()
        if asked["instance_type"] in (None, market.type_id)
        and asked["region"] in (None, market.region)
    }
    rows = [
        row
        for row in call.world.reservations.all()
        if row.project == project
        and row.market in markets
        and not row.hidden
        and asked["status"] in (None, row.state.title())
    ]
    order = asked["sort_by"] or "created_at"
    shown, cursor = page(
        rows,
        key=_by_status if order == "status" else _by_age,
        order=order,
        descending=(asked["sort_dir"] or "desc") == "desc",
        limit=asked["limit"],
        cursor=asked["next_cursor"],
    )
    return ok({"data": documents(call, shown), "next_cursor": cursor})


def show_extension(call: Call) -> Response:
    """Return until when a reservation could last."""
    row, market = _found(call)
    if not row.is_live:
        return ok({"latest_extension_time": written(row.end), "available": False})
    latest = reserving.latest_end(
        call.world, market, row.start, row.quantity, since=row.end, but=row.id
    )
    latest = row.end + (latest - row.end) // reserving.HOUR * reserving.HOUR
    return ok({"latest_extension_time": written(latest), "available": latest > row.end})


def extend(call: Call) -> Response:
    """Let a reservation last longer, and return it."""
    row, market = _live(call)
    until: datetime = call.body["end_time"]
    if until <= row.end:
        raise Refused(400, f"Reservation {row.id} lasts until {written(row.end)} already")
    if (until - row.end) % reserving.HOUR:
        raise Refused(400, "a reservation is extended by whole hours")
    latest = reserving.latest_end(
        call.world, market, row.start, row.quantity, since=row.end, but=row.id
    )
    if until > latest:
        raise Refused(409, f"Reservation {row.id} can last until {written(latest)} at most")
    _check_price(row.unit_price, call.body["price_specification"])
    row = reserving.extend(call.world, row, until, user=call.me.id, now=call.now)
    return ok(documents(call, [row])[0])


def change_reservation(call: Call) -> Response:
    """Pause or resume a reservation, or change the volumes of a paused one."""
    row, market = _live(call)
    paused, volumes = call.body["paused"], call.body["volumes"]
    if paused is not None and row.state == "pending":
        raise Refused(409, f"Reservation {row.id} has not begun")
    launch = None
    if volumes is not None:
        if row.state == "active":
            raise Refused(409, f"Reservation {row.id} must be paused to change its volumes")
        found = attachments(
            call, volumes, project=row.project, region=market.region, quantity=row.quantity,
            holder=row.id,
        )  # fmt: skip
        launch = call.world.launches.get(row.id) or LaunchRow(id=row.id, script="")
        call.world.launches.put(evolve(launch, attachments=found))
        row = call.world.reservations.put(
            evolve(row, volumes=tuple(each.volume_id for each in found))
        )
    if paused is True and row.state == "active":
        row = reserving.pause(call.world, row, user=call.me.id, now=call.now)
    elif paused is False and row.state == "paused":
        row = reserving.resume(call.world, call.rules, row, user=call.me.id, now=call.now)
    return ok(documents(call, [row])[0])


def give_back(call: Call) -> Response:
    """Take single instances out of a reservation for good."""
    row, _ = _found(call)
    if not row.is_live:
        raise Refused(400, f"Reservation {row.id} has ended")
    mine = {node.id: node for node in call.world.nodes.of([row.id])}
    fids = call.body["instances"]
    for fid in fids:
        if fid not in mine:
            raise Refused(404, f"Instance {fid} not found in reservation {row.id}")
    up = [mine[fid] for fid in fids if mine[fid].state is not NodeState.GONE]
    if up:
        reserving.give_back(call.world, row, up, user=call.me.id, now=call.now)
    return ok({})


def documents(call: Call, rows: Sequence[ReservationRow]) -> list[Json]:
    """Write reservations, with their nodes and what these start with."""
    world = call.world
    launches = {each.id: each for each in world.launches.find(row.id for row in rows)}
    nodes: dict[str, list[str]] = {}
    for node in world.nodes.of([row.id for row in rows]):
        nodes.setdefault(node.bid, []).append(node.id)
    found = []
    for row in rows:
        market = world.markets.held(row.market)
        found.append(
            {
                "fid": row.id,
                "name": row.name,
                "project": row.project,
                "created_by": row.owner,
                "created_at": written(row.created_at),
                "deactivated_at": when_known(row.ended_at),
                "instance_quantity": row.quantity,
                "instance_type": market.type_id if market is not None else "",
                "region": market.region if market is not None else None,
                "instances": nodes.get(row.id, []),
                "launch_specification": launch_document(launches.get(row.id)),
                "status": row.state.title(),
                "start_time": written(row.start),
                "end_time": written(row.end),
                "total_price": dollars(_whole_cents(Spend(row.charged))),
                "unit_price": dollars(row.unit_price),
            }
        )
    return found


def found_reservation(call: Call) -> ReservationRow:
    """Return the reservation that the path names.

    Raises:
        Refused: 404, when there is none for whoever asks.
    """
    return _found(call)[0]


def _found(call: Call) -> tuple[ReservationRow, MarketRow]:
    fid = call.path["reservation_fid"]
    row: ReservationRow = known(call.world.reservations.get(fid), "Reservation", fid)
    market = call.world.markets.held(row.market)
    if row.hidden or not call.may_see(row.project) or market is None:
        raise Refused(404, f"Reservation {fid} not found")
    return row, market


def _live(call: Call) -> tuple[ReservationRow, MarketRow]:
    row, market = _found(call)
    if not row.is_live:
        raise Refused(409, f"Reservation {row.id} has ended")
    return row, market


def _check_term(start: datetime, end: datetime, now: datetime) -> None:
    problem = reserving.term_problem(start, end, now)
    if problem is not None:
        raise Refused(400, problem)


def _check_price(unit: Price, told: Json | None) -> None:
    told = told or {"offer_key": OFFER, "max_unit_price": None}
    if told["offer_key"] != OFFER:
        raise Refused(404, f"Offer {told['offer_key']} not found")
    most = told["max_unit_price"]
    if most is not None and cents(unit) > most:
        raise Refused(409, f"The unit price is {dollars(unit)}, above max_unit_price")


def _fits(call: Call, market: MarketRow, start: datetime, end: datetime, quantity: int) -> bool:
    found = reserving.gaps(call.world, market, start, end)
    return bool(found) and all(gap.quantity >= quantity for gap in found)


def _needed(asked: Json, name: str) -> Any:
    value = asked[name]
    if value is None:
        detail = {"loc": ["query", name], "msg": "this mode needs it", "type": "missing"}
        raise Refused(422, [detail])
    return value


def _share(price: Price, quantity: int, start: datetime, end: datetime) -> Spend:
    return _whole_cents((price * quantity).over(end - start))


def _whole_cents(amount: Spend) -> Spend:
    return Spend(cents(amount) * 10_000)


def _by_age(row: ReservationRow) -> Key:
    return (row.number,)


def _by_status(row: ReservationRow) -> Key:
    return (row.state, row.number)


_MARKET = {"project": text(), "instance_type": text(), "region": text()}
ROUTES = (
    Route(
        method="GET", path=PATH + "/instance-types", summary="List types that can be reserved.",
        answer=list_types, replies={200: many(models.TYPE)},
    ),
    Route(
        method="GET", path=PATH + "/quote", summary="Price a term.", answer=quote,
        replies={200: record({"offers": many(models.OFFER)})}, errors=(400, 404),
        query={**_MARKET, "start_time": when(), "end_time": when(), "quantity": whole(least=1)},
        required=(*_MARKET, "start_time", "end_time", "quantity"),
    ),
    Route(
        method="GET", path=PATH + "/availability", summary="Find free time.", answer=show_free_time,
        replies={200: models.FREE_TIME}, errors=(404,), required=tuple(_MARKET),
        query={
            **_MARKET,
            "mode": one_of("slots", "latest_end_time", "check", default="latest_end_time"),
            "earliest_start_time": when(), "latest_end_time": when(), "start_time": when(),
            "end_time": when(), "quantity": whole(least=1),
        },
    ),
    Route(
        method="POST", path=PATH, summary="Make a reservation.", answer=create_reservation, changes=True,
        is_create=True, body=models.RESERVATION_ASKED, replies={201: models.RESERVATION},
        errors=(400, 404, 409),
    ),
    Route(
        method="GET", path=PATH, summary="List a project's reservations.", answer=list_reservations,
        replies={200: page_of(models.RESERVATION)}, required=("project",), errors=(404,),
        query={
            **_MARKET, "status": one_of(*models.TERM_WORDS), "sort_by": one_of("created_at", "status"),
            "sort_dir": models.SORT_DIR, "limit": whole(least=1, most=100), "next_cursor": text(),
        },
    ),
    Route(
        method="GET", path=ONE + "/extension-availability", summary="Find out how long it could last.",
        answer=show_extension, replies={200: models.EXTENSION}, errors=(404,),
    ),
    Route(
        method="POST", path=ONE + "/extend", summary="Extend a reservation.", answer=extend, changes=True,
        body=models.EXTENSION_ASKED, replies={200: models.RESERVATION}, errors=(400, 404, 409),
    ),
    Route(
        method="PATCH", path=ONE, summary="Pause or resume a reservation.", answer=change_reservation,
        changes=True, body=models.RESERVATION_CHANGE, replies={200: models.RESERVATION},
        errors=(400, 404, 409),
    ),
    Route(
        method="POST", path=ONE + "/terminate-instances", summary="Give instances back.",
        answer=give_back, changes=True, body=models.GIVEN_BACK, replies={200: models.ANYTHING},
        errors=(400, 404),
    ),
)  # fmt: skip
