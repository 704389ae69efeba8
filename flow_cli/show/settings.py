"""Settings, each with the place that set it."""

from __future__ import annotations

from collections.abc import Sequence

from flow_cli.show.layout import Cell, Column, Table
from flow_core.domain.settings import Entry


def settings_table(entries: Sequence[Entry], *, file: str) -> Table:
    """Return the list of `flow config show`; `file` is the user's own."""
    columns = (
        Column("Setting"),
        Column("Value", cuts=True),
        Column("From", folds=True),
        Column("What it is", wide=True, cuts=True),
    )
    rows = tuple(
        (
            Cell(entry.setting.name, "bold" if entry.value is not None else ""),
            Cell(shown(entry), "" if entry.origin != "default" else "dim"),
            Cell(entry.origin if entry.value is not None else "", "dim"),
            Cell(entry.setting.doc, "dim"),
        )
        for entry in entries
    )
    return Table(columns=columns, rows=rows, notes=(f"Your file of settings: {file}",))


def settings_json(entries: Sequence[Entry]) -> list[dict[str, object]]:
    """Return settings as a `settings` document holds them."""
    return [
        {
            "name": entry.setting.name,
            "value": entry.shown,
            "from": entry.origin,
            "is": entry.setting.kind.value,
            "doc": entry.setting.doc,
            "variable": entry.setting.environment[0],
        }
        for entry in entries
    ]


def shown(entry: Entry) -> str:
    """Return a value as a table shows it; '–' where there is none."""
    value = entry.shown
    if value is None:
        return "–"
    return str(value).lower() if isinstance(value, bool) else str(value)
