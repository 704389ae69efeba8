"""Bids that this machine didn't place, with what they cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from flow_cli.show.layout import Cell, Column, Table
from flow_cli.show.text import age, dollars, stamp
from flow_core.domain.bid import Bid
from flow_core.domain.money import Price
from flow_core.domain.people import Person


class StrayLike(Protocol):
    """A stray, as the reconciling service tells it."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def bid(self) -> Bid: ...  # noqa: D102
    @property
    def hourly(self) -> Price: ...  # noqa: D102
    @property
    def at_most(self) -> Price: ...  # noqa: D102
    @property
    def is_ours(self) -> bool: ...  # noqa: D102


def stray_table(
    strays: Sequence[StrayLike], people: Mapping[str, Person], now: datetime, *, simulated: bool
) -> Table:
    """Return the list of `flow reconcile`; `people` are those whose names are known, by id."""
    columns = (
        Column("Name", cuts=True),
        Column("Bid"),
        Column("GPU"),
        Column("Region", wide=True),
        Column("Cost/hr", right=True),
        Column("Most/hr", right=True),
        Column("Owner", cuts=True),
        Column("Age", right=True),
        Column("Bid's id", wide=True),
    )
    rows = tuple(
        (
            Cell(each.name, "bold" if each.is_ours else "dim"),
            Cell(each.bid.state.value),
            Cell(f"{each.bid.quantity} × {each.bid.shape.label}"),
            Cell(each.bid.region),
            Cell(str(each.hourly)),
            Cell(str(each.at_most)),
            Cell(_owner(each, people)),
            Cell(age(each.bid.created_at, now)),
            Cell(each.bid.id),
        )
        for each in strays
    )
    notes = []
    if any(each.is_ours for each in strays):
        notes.append(
            "take one over: flow reconcile NAME --adopt; end one: flow reconcile NAME --withdraw"
        )
    if any(not each.is_ours for each in strays):
        notes.append("the dim ones are other people's or programs' and are left alone")
    if simulated and rows:
        notes.append("prices and ages are simulated")
    return Table(
        columns=columns,
        rows=rows,
        empty="This machine knows every live bid.",
        notes=tuple(notes),
    )


def stray_json(strays: Sequence[StrayLike]) -> list[dict[str, object]]:
    """Return strays as a `stray-list` document holds them."""
    return [
        {
            "name": each.name,
            "bid_id": each.bid.id,
            "bid_name": each.bid.name,
            "state": each.bid.state.value,
            "instance_type": str(each.bid.shape),
            "num_instances": each.bid.quantity,
            "region": each.bid.region or None,
            "per_hour": dollars(each.hourly),
            "max_per_hour": dollars(each.at_most),
            "owner": each.bid.owner,
            "created_at": stamp(each.bid.created_at),
            "is_ours": each.is_ours,
        }
        for each in strays
    ]


def _owner(stray: StrayLike, people: Mapping[str, Person]) -> str:
    owner = stray.bid.owner or ""
    return people[owner].name if owner in people else owner
