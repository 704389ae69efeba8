"""Projects, quotas and SSH keys as lists and as documents."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from flow_cli.show.layout import Cell, Column, Table
from flow_cli.show.text import age, stamp
from flow_core.domain.keys import SshKey
from flow_core.domain.quota import Project, Quota


def project_table(projects: Sequence[Project], current: Project | None) -> Table:
    """Return the list of `flow project list`; `current` is the one that tasks belong to."""
    rows = tuple(
        (
            Cell(f"{'●' if _is(each, current) else ' '} {each.name}", "bold green" if _is(each, current) else ""),
            Cell(each.id),
        )
        for each in projects
    )  # fmt: skip
    note = "● is the one that tasks belong to; `flow project use NAME` chooses another"
    return Table(
        columns=(Column("Project"), Column("Id")),
        rows=rows,
        empty="These credentials may use no project.",
        notes=(note,) if rows else (),
    )


def project_json(projects: Sequence[Project], current: Project | None) -> list[dict[str, object]]:
    """Return projects as a `project-list` document holds them."""
    return [{"name": each.name, "id": each.id, "in_use": _is(each, current)} for each in projects]


def quota_table(quotas: Sequence[Quota]) -> Table:
    """Return the list of `flow quota`; what is used up stands out."""
    columns = (
        Column("What"),
        Column("Used", right=True),
        Column("Of", right=True),
        Column("Left", right=True),
        Column("Unit"),
        Column("Type", wide=True),
    )
    rows = tuple(
        (
            Cell(each.what, "bold"),
            Cell(f"{each.used:,}"),
            Cell(f"{each.total:,}"),
            Cell(f"{each.left:,}", "" if each.left else "bold red"),
            Cell(each.unit),
            Cell(each.type_id or "", "dim"),
        )
        for each in quotas
    )
    return Table(columns=columns, rows=rows, empty="Nothing is limited.")


def quota_json(quotas: Sequence[Quota]) -> list[dict[str, object]]:
    """Return quotas as a `quota-list` document holds them."""
    return [
        {
            "what": each.what,
            "id": each.id,
            "used": each.used,
            "total": each.total,
            "left": each.left,
            "unit": each.unit or None,
            "type_id": each.type_id,
        }
        for each in quotas
    ]


def key_table(
    keys: Sequence[SshKey], here: Mapping[str, str], carried: Collection[str], now: datetime
) -> Table:
    """Return the list of `flow ssh-key list`.

    `here` names, by a key's id, where its private half lies on this machine; `carried` holds the ids of chosen ones.
    """
    columns = (
        Column("Key", cuts=True),
        Column("Private half"),
        Column("Fingerprint", cuts=True),
        Column("Age", right=True),
        Column("Id", wide=True),
    )
    rows = tuple(
        (
            Cell(f"{'●' if key.id in carried else ' '} {key.name}", "bold"),
            Cell(here.get(key.id, "not here")),
            Cell(fingerprint(key.public_key) or ("required" if key.required else "")),
            Cell(age(key.created_at, now)),
            Cell(key.id),
        )
        for key in keys
    )
    notes = ["● is carried by new bids"] if carried else []
    required = [key.name for key in keys if key.required]
    if required:
        notes.append(f"required on every bid: {', '.join(required)}")
    return Table(
        columns=columns,
        rows=rows,
        empty="No SSH keys. `flow ssh-key add ~/.ssh/id_ed25519.pub` adds yours.",
        notes=tuple(notes),
    )


def key_json(key: SshKey, here: Mapping[str, str]) -> dict[str, object]:
    """Return one SSH key as documents hold it; never a private half."""
    return {
        "name": key.name,
        "id": key.id,
        "public_key": key.public_key,
        "fingerprint": fingerprint(key.public_key) or None,
        "private_key_path": here.get(key.id),
        "required": key.required,
        "created_at": stamp(key.created_at),
    }


def fingerprint(public_key: str) -> str:
    """Return a public key's fingerprint as OpenSSH writes it; '' for what is no key."""
    words = public_key.split()
    try:
        raw = base64.b64decode(words[1], validate=True) if len(words) > 1 else b""
    except (binascii.Error, ValueError):
        return ""
    digest = base64.b64encode(hashlib.sha256(raw).digest()).decode("ascii").rstrip("=")
    return f"SHA256:{digest}" if raw else ""


def _is(project: Project, current: Project | None) -> bool:
    return current is not None and project.id == current.id
