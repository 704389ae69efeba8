"""Boot images and lifecycle scripts as lists and as documents."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from flow_cli.show.layout import Cell, Column, Table
from flow_cli.show.text import age, stamp
from flow_core.domain.kept import BootImage, LifecycleScript


def image_table(images: Sequence[BootImage]) -> Table:
    """Return the list of `flow image list`; the default stands out."""
    rows = tuple(
        (
            Cell(f"{'●' if each.is_default else ' '} {each.name}", "bold" if each.is_default else ""),
            Cell(each.system),
            Cell(each.driver or ""),
            Cell(each.cuda or ""),
            Cell(each.id, "dim"),
            Cell(", ".join(each.regions) or "all", "dim"),
        )
        for each in images
    )  # fmt: skip
    columns = ("Image", "System", "Driver", "CUDA", "Id")
    return Table(
        columns=(*map(Column, columns), Column("Regions", wide=True)),
        rows=rows,
        empty="There is no image to choose.",
        notes=("● is what nodes boot unless told otherwise",) if rows else (),
    )


def image_json(images: Sequence[BootImage]) -> list[dict[str, object]]:
    """Return images as an `image-list` document holds them."""
    return [
        {
            "id": each.id,
            "name": each.name,
            "system": each.system,
            "default": each.is_default,
            "driver": each.driver,
            "cuda": each.cuda,
            "regions": list(each.regions),
        }
        for each in images
    ]


def script_table(scripts: Sequence[LifecycleScript], now: datetime) -> Table:
    """Return the list of `flow script list`."""
    rows = tuple(
        (
            Cell(each.name, "bold"),
            Cell(each.scope),
            Cell(age(each.changed_at, now)),
            Cell(each.id, "dim"),
            Cell(each.description),
        )
        for each in scripts
    )
    columns = ("Script", "Seen by", "Changed", "Id")
    return Table(
        columns=(*map(Column, columns), Column("Description", wide=True)),
        rows=rows,
        empty="No script is kept.",
    )


def script_json(scripts: Sequence[LifecycleScript]) -> list[dict[str, object]]:
    """Return scripts as a `script-list` document holds them."""
    return [
        {
            "id": each.id,
            "name": each.name,
            "description": each.description,
            "scope": each.scope,
            "changed_at": stamp(each.changed_at),
        }
        for each in scripts
    ]
