"""Logs of nodes that are gone, on this machine's disk: a node's last report, its log, and what describes the log."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from flow_core.domain import node_files
from flow_core.domain.run import LogChunk

#: Bids whose logs are kept; the oldest go first.
_MOST = 200


class KeptLogs:
    """Keeps logs below a folder, which is made when needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def begin(self, bid_id: str, rank: int) -> Path:
        """Return a new folder for one node's files, to be handed to `keep` when all is in it."""
        place = self._folder / f".{bid_id}-{rank}.{os.getpid()}"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        return place

    def keep(self, place: Path, bid_id: str, rank: int) -> None:
        """Keep what is in a folder of `begin`'s; what was kept of this node before stays instead."""
        home = self._home(bid_id, rank)
        home.parent.mkdir(parents=True, exist_ok=True)
        if home.exists():
            shutil.rmtree(place)
        else:
            place.rename(home)
        known = sorted(
            (each for each in self._folder.iterdir() if not each.name.startswith(".")),
            key=lambda each: each.stat().st_mtime,
        )
        for old in known[:-_MOST]:
            shutil.rmtree(old, ignore_errors=True)

    def state(self, bid_id: str, rank: int) -> dict[str, Any] | None:
        """Return a node's last report as the node told it; None where nothing is kept."""
        try:
            found = json.loads((self._home(bid_id, rank) / "state.json").read_text("utf-8"))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def ranks(self, bid_id: str) -> list[int]:
        """Return the ranks of which something is kept."""
        folder = self._folder / bid_id
        if "/" in bid_id or not folder.is_dir():
            return []
        return sorted(int(each.name) for each in folder.iterdir() if each.name.isdecimal())

    def read(self, bid_id: str, rank: int, *, offset: int, limit: int) -> LogChunk | None:
        """Return a stretch of a log; None where it isn't kept."""
        home = self._home(bid_id, rank)
        try:
            index = node_files.parse_index((home / "log.index").read_bytes())
            with (home / "log").open("rb") as log:
                log.seek(offset)
                size = index[-1].end if index else 0
                data = log.read(max(0, min(limit, size - offset)))
        except OSError:
            return None
        is_last = offset + len(data) >= size
        first = node_files.first_stretch_past(
            offset, count=len(index), stretch=lambda number: index[number]
        )
        return node_files.chunk(data, index[first:], rank=rank, offset=offset, is_last=is_last)

    def _home(self, bid_id: str, rank: int) -> Path:
        return self._folder / bid_id / str(rank)
