"""What `flow doctor` found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from flow_cli.show.layout import Cell, Column, Table

_MARKS = {
    "ok": ("✓ ok", "green"),
    "warn": ("! warn", "yellow"),
    "fail": ("✗ fail", "bold red"),
    "skipped": ("– skipped", "dim"),
}


class Found(NamedTuple):
    """One check as it is shown; `health` is a word of `_MARKS`."""

    check: str
    health: str
    says: str
    advice: str = ""


def findings_table(findings: Sequence[Found]) -> Table:
    """Return the list of `flow doctor`, what to do below what is so."""
    rows: list[tuple[Cell, ...]] = []
    for each in findings:
        mark, style = _MARKS[each.health]
        rows.append((Cell(each.check, "bold"), Cell(mark, style), Cell(each.says)))
        if each.advice:
            rows.append((Cell(""), Cell(""), Cell(f"→ {each.advice}", "dim")))
    return Table(
        columns=(Column("Check"), Column("State"), Column("Finding", folds=True)),
        rows=tuple(rows),
    )


def findings_json(findings: Sequence[Found]) -> list[dict[str, object]]:
    """Return findings as a `doctor` document holds them."""
    return [
        {
            "check": each.check,
            "state": each.health,
            "says": each.says,
            "advice": each.advice or None,
        }
        for each in findings
    ]
