"""A sweep as a table, and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flow_cli.show.layout import Cell, Column, Table
from flow_cli.show.text import dollars
from flow_core.domain.money import Spend
from flow_core.domain.status import TaskView


def sweep_table(views: Sequence[TaskView], spent: Mapping[str, Spend]) -> Table:
    """Return one row a task: parameters, state, exit code, cost."""
    columns = (
        Column("Parameters"),
        Column("State"),
        Column("Exit", right=True),
        Column("Cost", right=True),
    )
    rows = tuple(
        (
            Cell(view.record.name.partition("/")[2], "bold"),
            Cell(view.state.value),
            Cell("" if view.record.exit_code is None else str(view.record.exit_code)),
            Cell(str(spent[view.record.token])),
        )
        for view in views
    )
    return Table(columns=columns, rows=rows)


def sweep_json(
    name: str, views: Sequence[TaskView], spent: Mapping[str, Spend]
) -> dict[str, object]:
    """Return the same for programs."""
    return {
        "sweep": name,
        "tasks": [
            {
                "name": view.record.name,
                "parameters": dict(
                    each.split("=", 1) for each in view.record.name.partition("/")[2].split(",")
                ),
                "state": view.state.value,
                "exit_code": view.record.exit_code,
                "cost": dollars(spent[view.record.token]),
            }
            for view in views
        ],
    }
