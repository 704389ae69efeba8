"""What became of a reservation: what happened to it, which hours ran or stood still, and what they cost."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

from flow_core.domain.money import Spend
from flow_providers.mock.estate.rows import EventRow, ReservationRow
from flow_providers.mock.http import models
from flow_providers.mock.http.calls import Call, Route
from flow_providers.mock.http.messages import Json, Response, ok
from flow_providers.mock.http.reservations import found_reservation
from flow_providers.mock.http.wire import cents, span
from flow_providers.mock.http.wire import when as written

_WORDS = {"pending": "Open", "active": "Allocated", "paused": "Paused"}
_LEVEL = {
    "Active": "Started",
    "Resumed": "Started",
    "Paused": "Paused",
    "Terms Changed": "Extended",
}
_RUNS = ("STATUS_STARTING", "STATUS_RUNNING")


def show_usage(call: Call) -> Response:
    """Return a reservation's hours and money until now."""
    row = found_reservation(call)
    nodes = call.world.nodes.of([row.id])
    events = call.world.events.of([row.id])
    moves = call.world.events.of([node.id for node in nodes])
    names = {node.id: f"{row.name}-{node.rank}" for node in nodes}
    until = min(row.ended_at or call.now, row.end)
    reserved = max(row.end - row.start, timedelta(0)) * row.quantity
    elapsed = max(until - row.start, timedelta(0)) * row.quantity
    active = min(_active(moves, until), elapsed)
    returned = sum(each.amount for each in events if each.detail == "returned")
    paused = row.credited - returned
    return ok(
        {
            "reservation": _about(row),
            "summary": {
                "committed_cost_cents": cents(Spend(row.charged)),
                "flex_use_credits_cents": cents(Spend(paused)),
                "early_termination_credits_cents": cents(Spend(returned)),
                "net_cost_cents": cents(Spend(row.charged - row.credited)),
                "reserved_instance_hours": span(reserved),
                "active_instance_hours": span(active),
                "idle_instance_hours": span(elapsed - active),
                "as_of": written(call.now),
            },
            "grants": [
                {
                    "fid": f"{row.id}-grant",
                    "starts_at": written(row.start),
                    "ends_at": written(row.end),
                    "quantity": row.quantity,
                    "unit_price": cents(row.unit_price),
                    "price_credit": cents(Spend(paused)),
                    "return_credit": cents(Spend(returned)),
                }
            ],
            "pricing_events": [
                {
                    "id": str(uuid.uuid5(uuid.NAMESPACE_OID, each.id)),
                    "occurred_at": written(each.at),
                    "instance_fid": each.about,
                    "instance_name": names[each.about],
                    "instance_status": each.what,
                }
                for each in moves
            ],
            "reservation_events": [
                {
                    "occurred_at": written(each.at),
                    "event_type": _LEVEL[each.what],
                    "reservation_name": row.name,
                }
                for each in events
                if each.what in _LEVEL and each.detail != "returned"
            ],
        }
    )


def show_history(call: Call) -> Response:
    """Return what happened to a reservation, oldest first."""
    row = found_reservation(call)
    return ok(
        {
            "reservation_fid": row.id,
            "events": [
                {
                    "timestamp": written(each.at),
                    "event_type": each.what,
                    "user_id": each.user or None,
                    "unit_price_cents": cents(each.price) if each.price is not None else None,
                    "pause_credit_cents": cents(Spend(each.amount)) if each.what == "Resumed" else None,
                    "return_credit_cents": cents(Spend(each.amount)) if each.detail else None,
                }
                for each in call.world.events.of([row.id])
            ],
        }
    )  # fmt: skip


def _about(row: ReservationRow) -> Json:
    return {
        "fid": row.id,
        "order_name": row.name,
        "start_date": written(row.start),
        "end_date": written(row.end),
        "status": _WORDS.get(row.state, "Terminated"),
        "committed_cost_cents": cents(Spend(row.charged)),
    }


def _active(moves: list[EventRow], until: datetime) -> timedelta:
    """Add up the time in which instances were up."""
    total, since = timedelta(0), dict[str, datetime]()
    for each in moves:
        if each.what in _RUNS:
            since.setdefault(each.about, each.at)
        elif each.about in since:
            total += each.at - since.pop(each.about)
    return total + sum((max(until - at, timedelta(0)) for at in since.values()), timedelta(0))


ROUTES = (
    Route(
        method="GET", path="/v2/reservation/{reservation_fid}/history", summary="Read what happened to a reservation.",
        answer=show_history, replies={200: models.TERM_HISTORY}, errors=(404,),
    ),
    Route(
        method="GET", path="/v2/reservation/{reservation_fid}/usage",
        summary="Read what a reservation was used for.", answer=show_usage,
        replies={200: models.TERM_USAGE}, errors=(404,),
    ),
)  # fmt: skip
