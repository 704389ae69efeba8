"""What was spent, as lists and as documents."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from flow_cli.show.layout import Cell, Column, Table
from flow_cli.show.text import dollars, stamp
from flow_core.domain.bill import BillLine
from flow_core.domain.money import Spend


def bill_table(lines: Sequence[BillLine], *, since: datetime, simulated: bool) -> Table:
    """Return the list of `flow cost`: the tasks, then what each owner and all together spent."""
    columns = (
        Column("Task", cuts=True),
        Column("Owner", cuts=True),
        Column("GPU", wide=True),
        Column("Node-hours", right=True),
        Column("Mean $/hr", right=True, wide=True),
        Column("Cost", right=True),
    )
    rows = [
        (
            Cell(
                f"{'●' if line.is_live else ' '} {line.name}", "bold green" if line.is_live else ""
            ),
            Cell(line.owner),
            Cell(line.shape.label if line.shape is not None else "?"),
            Cell(f"{line.node_hours:.2f}"),
            Cell("" if line.mean_price is None else str(line.mean_price)),
            Cell(f"{line.spent}{' *' if line.is_estimate else ''}"),
        )
        for line in lines
    ]
    notes = [f"{owner or 'unknown'}: {total}" for owner, total in _owners(lines).items()]
    notes.append(f"{_total(lines)} in all since {since:%Y-%m-%d %H:%M}Z")
    if any(line.is_live for line in lines):
        notes.append("● goes on")
    if any(line.is_estimate for line in lines):
        notes.append("* all that the task cost; the provider no longer tells when")
    if simulated:
        notes.append("prices and hours are simulated")
    return Table(
        columns=columns,
        rows=tuple(rows),
        empty=f"Nothing was paid since {since:%Y-%m-%d %H:%M}Z.",
        notes=tuple(notes) if rows else (),
    )


def price_table(lines: Sequence[BillLine]) -> Table:
    """Return the stretches of one price each that a task's cost is made of."""
    columns = (
        Column("From"),
        Column("To"),
        Column("Nodes", right=True),
        Column("$/hr", right=True),
        Column("Cost", right=True),
    )
    rows = [
        tuple(
            Cell(text)
            for text in (
                f"{each.since:%Y-%m-%d %H:%M:%S}Z",
                f"{each.until:%Y-%m-%d %H:%M:%S}Z" if each.until is not None else "now",
                str(each.nodes),
                str(each.price),
                str(each.cost(each.until or each.since)),
            )
        )
        for line in lines
        for each in line.stretches
    ]
    return Table(columns=columns, rows=tuple(rows), empty="The provider tells no prices of it.")


def bill_json(lines: Sequence[BillLine], *, since: datetime, until: datetime) -> dict[str, object]:
    """Return the payload of a `cost` document."""
    return {
        "since": stamp(since),
        "until": stamp(until),
        "total": dollars(_total(lines)),
        "by_owner": {owner: dollars(total) for owner, total in _owners(lines).items()},
        "tasks": [
            {
                "name": line.name,
                "owner": line.owner,
                "is_live": line.is_live,
                "gpu": line.shape.label if line.shape is not None else None,
                "node_hours": round(line.node_hours, 6),
                "cost": dollars(line.spent),
                "is_estimate": line.is_estimate,
                "prices": [
                    {
                        "since": stamp(each.since),
                        "until": stamp(each.until),
                        "nodes": each.nodes,
                        "price_per_hour": dollars(each.price),
                    }
                    for each in line.stretches
                ],
            }
            for line in lines
        ],
    }


def _total(lines: Sequence[BillLine]) -> Spend:
    return sum((line.spent for line in lines), Spend.ZERO)


def _owners(lines: Sequence[BillLine]) -> dict[str, Spend]:
    found: dict[str, Spend] = {}
    for line in lines:
        found[line.owner] = found.get(line.owner, Spend.ZERO) + line.spent
    return found
