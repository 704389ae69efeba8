"""What is set up, where each answer came from, and whether it works."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from flow_cli.show.layout import Cell, Column, Table

HIDDEN = "(set)"


class Answer(NamedTuple):
    """One setting that a provider needs: its value as it may be shown, its origin, and what the provider says to it."""

    setting: str
    words: str
    value: str = ""
    origin: str = ""
    says: str = ""
    works: bool = True
    hint: str = ""


def setup_table(answers: Sequence[Answer], *, file: str) -> Table:
    """Return the list of `flow setup --check`; `file` is where the user's settings are kept."""
    columns = (
        Column("Setting"),
        Column("Value", cuts=True),
        Column("Set by", folds=True),
        Column("Works"),
        Column("Says", folds=True),
    )
    rows = tuple(
        (
            Cell(each.setting, "bold"),
            Cell(each.value or "–"),
            Cell(each.origin, "dim"),
            Cell("✓ yes", "green") if each.works else Cell("✗ no", "bold red"),
            Cell(each.says),
        )
        for each in answers
    )
    hints = tuple(f"{each.setting}: {each.hint}" for each in answers if each.hint)
    return Table(columns=columns, rows=rows, notes=(*hints, f"your settings are in {file}"))


def setup_json(answers: Sequence[Answer]) -> list[dict[str, object]]:
    """Return answers as a `setup` document holds them."""
    return [
        {
            "setting": each.setting,
            "value": each.value or None,
            "from": each.origin or None,
            "works": each.works,
            "says": each.says,
            "hint": each.hint or None,
        }
        for each in answers
    ]
