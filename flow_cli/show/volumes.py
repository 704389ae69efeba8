"""Volumes as a list and as documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from flow_cli.show.layout import Cell, Column, Table
from flow_cli.show.text import age, stamp
from flow_core.domain.volume import Volume


def volume_table(volumes: Sequence[Volume], users: Mapping[str, str], now: datetime) -> Table:
    """Return the list of `flow volume list`; `users` names tasks by the id of their bid."""
    columns = (
        Column("Volume", cuts=True),
        Column("Size", right=True),
        Column("Interface"),
        Column("Region"),
        Column("Used by", cuts=True),
        Column("Age", right=True),
        Column("Id", wide=True),
    )
    rows = tuple(
        (
            Cell(volume.name, "bold"),
            Cell(f"{volume.capacity_gb:,} GB"),
            Cell(volume.interface.value),
            Cell(volume.region or "every"),
            Cell(", ".join(users.get(bid, bid) for bid in volume.attached_to)),
            Cell(age(volume.created_at, now)),
            Cell(volume.id),
        )
        for volume in volumes
    )
    return Table(
        columns=columns,
        rows=rows,
        empty="No volumes. `flow volume create -s 100 --name data` makes one.",
    )


def volume_json(volume: Volume, users: Mapping[str, str]) -> dict[str, object]:
    """Return one volume as documents hold it."""
    return {
        "name": volume.name,
        "id": volume.id,
        "region": volume.region,
        "size_gb": volume.capacity_gb,
        "interface": volume.interface.value,
        "created_at": stamp(volume.created_at),
        "used_by": [users.get(bid, bid) for bid in volume.attached_to],
    }
