"""The clouds that can be asked, what each offers, and what is wrong with those that can't be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from flow_cli.show.layout import Cell, Column, Table

#: Every role, the required ones first.
ROLES = (
    "market", "fleet", "shell", "volumes", "logs", "account", "usage", "catalog", "projects", "keys", "images",
    "scripts", "reservations", "ssh",
)  # fmt: skip


class Offer(NamedTuple):
    """One provider: its roles, or why they can't be told. `chosen` is the one that commands ask."""

    name: str
    roles: tuple[str, ...] = ()
    problem: str = ""
    brought_by: str = ""
    chosen: bool = False
    simulated: bool = False


def provider_table(offers: Sequence[Offer]) -> Table:
    """Return the list of `flow provider list`."""
    columns = (
        Column("Provider"),
        Column("Offers", folds=True),
        Column("Trouble", folds=True),
        Column("Brought by", wide=True),
    )
    rows = tuple(
        (
            Cell(f"{'●' if each.chosen else ' '} {each.name}", "bold green" if each.chosen else ""),
            Cell(", ".join(each.roles) + (" (simulated)" if each.simulated else "")),
            Cell(each.problem, "red"),
            Cell(each.brought_by, "dim"),
        )
        for each in offers
    )
    note = "● is the one that commands ask; `flow config set provider NAME` or --provider chooses another"
    return Table(
        columns=columns, rows=rows, empty="No provider is installed.", notes=(note,) if rows else ()
    )


def provider_json(offers: Sequence[Offer]) -> list[dict[str, object]]:
    """Return providers as a `provider-list` document holds them."""
    return [
        {
            "name": each.name,
            "roles": list(each.roles),
            "problem": each.problem or None,
            "brought_by": each.brought_by or None,
            "chosen": each.chosen,
            "simulated": each.simulated,
        }
        for each in offers
    ]
