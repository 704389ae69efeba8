"""How a node boots, as its keeper reads it: name, address, script, keys, GPUs, and what is attached."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flow_core.domain.volume import Interface
from flow_providers.mock.boot import loops
from flow_providers.mock.nodes import HostedNode

_UNFIT = re.compile(r"[^A-Za-z0-9-]+")


def plan(
    node: HostedNode,
    script: str,
    *,
    address: str,
    is_bare: bool,
    hidden: Path,
    grace_s: float,
    volume: Callable[[str], Path],
) -> dict[str, Any]:
    """Return the plan, and make the places of the volumes in it; `fellows` are left for later."""
    return {
        "bare": is_bare,
        "rank": node.rank,
        "bid": node.bid_id,
        "name": _UNFIT.sub("-", node.name or node.id).strip("-"),
        "address": address,
        "fellows": [],
        "keys": list(node.keys),
        "script": script,
        "gpus": [node.shape.gpus, node.shape.gpu_label, _memory_mib(node)],
        "hidden": str(hidden),
        "grace_s": grace_s,
        **_volumes(node, volume, is_bare=is_bare),
    }


def _volumes(
    node: HostedNode, volume: Callable[[str], Path], *, is_bare: bool
) -> dict[str, list[Any]]:
    known = {each.id: each for each in node.volumes}
    binds: list[tuple[str, str, bool]] = []
    blocks: list[dict[str, str]] = []
    for each in [] if is_bare else node.attachments:
        told = known.get(each.volume_id)
        place = volume(each.volume_id)
        place.mkdir(parents=True, exist_ok=True)
        if told is not None and told.interface is Interface.BLOCK:
            if loops.problem() is None:
                blocks.append({"id": told.id, "file": _block(place, told.capacity_gb)})
            continue
        files = place / "files"
        files.mkdir(exist_ok=True)
        if os.geteuid() == 0:
            files.chmod(0o1777)
        name = each.name or (told.name if told is not None else each.volume_id)
        paths = dict.fromkeys([f"/mnt/{name}", each.path or f"/mnt/{name}"])
        binds += [(str(files), path, each.read_only) for path in paths]
    return {"binds": binds, "blocks": blocks}


def _block(place: Path, capacity_gb: int) -> str:
    """Return the file behind a block volume, of its size but without its blocks until they are written."""
    file = place / "block"
    if not file.exists():
        with file.open("wb") as made:
            made.truncate(capacity_gb * 1_000_000_000)
    return str(file)


def _memory_mib(node: HostedNode) -> int:
    said = re.search(r"-(\d+)GB", node.shape.gpu_label)
    return (node.shape.memory_gb or (int(said[1]) if said else 80)) * 1024
