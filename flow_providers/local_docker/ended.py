"""What is remembered on this machine: bids that have ended, a file each.

What lives is at the engine; when all this is lost, nothing is.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from pathlib import Path

from attrs import asdict

from flow_providers.local_docker.labels import Record, record_from

#: So many are remembered; the oldest go first.
_MOST = 1_000


class Ended:
    """Remembers ended bids in a folder, which is made when needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, record: Record) -> None:
        """Remember a bid."""
        self._folder.mkdir(parents=True, exist_ok=True)
        new = self._folder / f".{record.id}.{os.getpid()}"
        new.write_text(json.dumps(asdict(record)), "utf-8")
        new.replace(self._path(record.id))
        known = sorted(self._folder.glob("*.json"), key=lambda path: path.stat().st_mtime)
        for path in known[:-_MOST]:
            path.unlink(missing_ok=True)

    def read(self, bid_id: str) -> Record | None:
        """Return a bid, or None when it isn't remembered."""
        if "/" in bid_id:
            return None
        try:
            told = json.loads(self._path(bid_id).read_text("utf-8"))
        except (OSError, ValueError):
            return None
        return record_from(told)

    def records(self, ids: Collection[str] | None) -> list[Record]:
        """Return those of these ids, or all."""
        if ids is None:
            ids = [path.stem for path in self._folder.glob("*.json")]
        return [found for each in ids for found in [self.read(each)] if found is not None]

    def _path(self, bid_id: str) -> Path:
        return self._folder / f"{bid_id}.json"
