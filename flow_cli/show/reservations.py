"""Reservations: offers, what one costs as a whole, and those there are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from flow_cli.show.layout import Cell, Column, Panel, Table
from flow_cli.show.money import gpu_rate
from flow_cli.show.text import clock_time, dollars, stamp
from flow_core.domain.duration import rough_duration
from flow_core.domain.reservation import Offer, Reservation, ReservationState, Term
from flow_core.domain.shape import InstanceShape

_STYLES = {
    ReservationState.PENDING: ("◌", "yellow"),
    ReservationState.ACTIVE: ("●", "green"),
    ReservationState.PAUSED: ("○", "cyan"),
    ReservationState.CANCELED: ("○", "dim"),
    ReservationState.ENDED: ("✓", "dim"),
}


class OfferedLike(Protocol):
    """One price for one term, as the reservations service tells it."""

    @property
    def shape(self) -> InstanceShape: ...  # noqa: D102
    @property
    def term(self) -> Term: ...  # noqa: D102
    @property
    def offer(self) -> Offer: ...  # noqa: D102


def offer_table(offers: Sequence[OfferedLike]) -> Table:
    """Return the list of `flow reservation quote`, the cheapest whole first."""
    columns = (
        Column("Offer"),
        Column("GPU"),
        Column("Region"),
        Column("Per hour", right=True),
        Column("Whole price", right=True),
        Column("Back if paused", right=True, wide=True),
    )
    rows = tuple(
        (
            Cell(each.offer.key, "bold"),
            Cell(f"{each.term.quantity} × {each.shape.label}"),
            Cell(each.term.region),
            Cell(f"{each.offer.unit_price} each"),
            Cell(str(each.offer.total), "bold"),
            Cell(f"{each.offer.pause_credit}/hr" if each.offer.pause_credit else ""),
        )
        for each in offers
    )
    notes = (f"{_span(offers[0].term)}; the whole price is charged at once",) if offers else ()
    return Table(columns=columns, rows=rows, empty="Nothing is offered.", notes=notes)


def offered_panel(offered: OfferedLike, *, name: str | None) -> Panel:
    """Return what is about to be paid for."""
    term, offer = offered.term, offered.offer
    each = f"{offer.unit_price}/hr per instance ({gpu_rate(offer.unit_price, offered.shape)})"
    return Panel(
        title="Reservation",
        rows=(
            ("Name", Cell(name or "(made up)", "bold")),
            ("Instances", Cell(f"{term.quantity} × {offered.shape.label}")),
            ("Region", Cell(term.region)),
            ("Time", Cell(_span(term))),
            ("Offer", Cell(offer.name)),
            ("Price", Cell(each)),
            ("Whole price", Cell(f"{offer.total}, charged at once", "bold")),
        ),
    )


def reservation_table(
    reservations: Sequence[Reservation], name_of: Callable[[Reservation], str]
) -> Table:
    """Return the list of `flow reservation list`."""
    columns = (
        Column("Reservation", cuts=True),
        Column("Status"),
        Column("GPU"),
        Column("Region"),
        Column("From", wide=True),
        Column("Until"),
        Column("Paid", right=True),
        Column("Id", wide=True),
    )
    rows = tuple(
        (
            Cell(name_of(each), "bold" if each.is_live else "dim"),
            Cell(f"{_STYLES[each.state][0]} {each.state.value}", _STYLES[each.state][1]),
            Cell(f"{each.term.quantity} × {each.shape.label}"),
            Cell(each.term.region),
            Cell(clock_time(each.term.start)),
            Cell(clock_time(each.term.end)),
            Cell(str(each.total)),
            Cell(each.id),
        )
        for each in reservations
    )
    return Table(
        columns=columns,
        rows=rows,
        empty="No reservations. `flow reservation quote -i 8xh100 --for 1d` says what one would cost.",
    )


def offer_json(offered: OfferedLike) -> dict[str, object]:
    """Return one offer as documents hold it."""
    term, offer = offered.term, offered.offer
    return {
        "offer": offer.key,
        "title": offer.name,
        "instance_type": str(offered.shape),
        "type_id": term.type_id,
        "num_instances": term.quantity,
        "region": term.region,
        "start": stamp(term.start),
        "end": stamp(term.end),
        "price_per_hour": dollars(offer.unit_price),
        "total": dollars(offer.total),
        "pause_credit_per_hour": dollars(offer.pause_credit),
        "return_credit_per_hour": dollars(offer.return_credit),
    }


def reservation_json(reservation: Reservation, *, name: str) -> dict[str, object]:
    """Return one reservation as documents hold it."""
    term = reservation.term
    return {
        "name": name,
        "id": reservation.id,
        "state": reservation.state.value,
        "is_live": reservation.is_live,
        "instance_type": str(reservation.shape),
        "num_instances": term.quantity,
        "region": term.region or None,
        "start": stamp(term.start),
        "end": stamp(term.end),
        "price_per_hour": dollars(reservation.unit_price),
        "total": dollars(reservation.total),
        "owner": reservation.owner,
        "created_at": stamp(reservation.created_at),
    }


def _span(term: Term) -> str:
    took = rough_duration(term.end - term.start)
    return f"{clock_time(term.start)} to {clock_time(term.end)} ({took})"
