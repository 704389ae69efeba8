"""Instances as `flow instance list` shows them: what is held, by whom, since when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from flow_cli.show.layout import Cell, Column, Table
from flow_cli.show.tasks import gpu_text, state_cell
from flow_cli.show.text import age
from flow_core.domain.people import Person
from flow_core.domain.status import TaskView


def instance_table(
    views: Sequence[TaskView], people: Mapping[str, Person], now: datetime, *, simulated: bool
) -> Table:
    """Return the panel titled Flow; `people` are those whose names are known, by id."""
    columns = (
        Column("#", right=True),
        Column("Status"),
        Column("Instance", cuts=True),
        Column("GPU"),
        Column("Region", wide=True),
        Column("Limit/hr", right=True, wide=True),
        Column("Owner", cuts=True),
        Column("Age", right=True),
    )
    rows = tuple(
        (
            Cell(str(number), "dim"),
            state_cell(view.state),
            Cell(view.record.name, "" if view.state.is_final else "bold"),
            Cell(gpu_text(view)),
            Cell(view.record.region),
            Cell(str(view.record.limit)),
            Cell(owner_of(view, people)),
            Cell(age(view.record.created_at, now)),
        )
        for number, view in enumerate(views, start=1)
    )
    notes = ("prices and ages are simulated",) if simulated and rows else ()
    return Table(
        columns=columns,
        rows=rows,
        title="Flow",
        empty="No instances. `flow instance create -i 8xh100` makes one.",
        notes=notes,
    )


def owner_of(view: TaskView, people: Mapping[str, Person]) -> str:
    """Return the owner's name where it is known, else the id."""
    owner = view.record.owner or (view.bid.owner if view.bid is not None else None) or ""
    return people[owner].name if owner in people else owner
