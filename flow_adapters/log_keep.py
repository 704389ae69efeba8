"""Logs kept in a folder: for each node a file of bytes and an index, in the form that nodes keep theirs."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Collection, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import IO

from attrs import evolve

from flow_adapters import places
from flow_adapters.files import write_whole
from flow_core.domain import node_files
from flow_core.domain.run import LogChunk, Stream
from flow_core.errors import NoRoom

_STREAMS = (Stream.OUT, Stream.ERR, Stream.NOTE)


class FolderLogKeep:
    """Implements `ports.log_keep.LogKeep` below `folder`; the watcher writes, anyone reads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def size(self, bid_id: str, rank: int) -> int:
        """See `LogKeep.size`."""
        stretches = self._stretches(bid_id, rank)
        return stretches[-1].end if stretches else 0

    def keep(self, bid_id: str, chunk: LogChunk) -> None:
        """See `LogKeep.keep`. The bytes are written before the index that makes them count."""
        if chunk.offset != self.size(bid_id, chunk.rank):
            return
        base = self._base(bid_id, chunk.rank)
        places.made(base.parent)
        try:
            entries = bytearray()
            place = chunk.offset
            for piece in chunk.pieces:
                entries += node_files.ENTRY.pack(
                    place, len(piece.data), _STREAMS.index(piece.stream), piece.at.timestamp()
                )
                place += len(piece.data)
            with _private(base.with_suffix(".log")) as log:
                log.truncate(chunk.offset)
                log.seek(chunk.offset)
                log.write(chunk.data)
            with _private(base.with_suffix(".index")) as index:
                index.seek(0, os.SEEK_END)
                index.write(entries)
            if chunk.is_last:
                base.with_suffix(".whole").touch(mode=0o600)
        except OSError as full:
            if full.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise NoRoom(f"no room to keep a log in {base.parent}", hint="make room") from full

    def read(self, bid_id: str, rank: int, *, offset: int, limit: int) -> LogChunk | None:
        """See `LogKeep.read`."""
        base, stretches = self._base(bid_id, rank), self._stretches(bid_id, rank)
        size = stretches[-1].end if stretches else 0
        is_whole = base.with_suffix(".whole").exists()
        if offset >= size:
            empty = LogChunk(rank=rank, offset=offset, next_offset=offset, is_last=True)
            return empty if is_whole else None
        with base.with_suffix(".log").open("rb") as log:
            log.seek(offset)
            data = log.read(min(limit, size - offset))
        found = node_files.chunk(data, stretches, rank=rank, offset=offset)
        return evolve(found, is_last=is_whole and found.next_offset == size)

    def tell(self, bid_id: str, said: Mapping[int, str], *, at: datetime) -> None:
        """See `LogKeep.tell`."""
        told = {"at": at.isoformat(), "said": {str(rank): text for rank, text in said.items()}}
        with suppress(NoRoom):
            places.made(self._said(bid_id).parent)
            write_whole(self._said(bid_id), json.dumps(told).encode(), mode=0o600)

    def told(self, bid_id: str, *, since: datetime) -> Mapping[int, str] | None:
        """See `LogKeep.told`."""
        try:
            told = json.loads(self._said(bid_id).read_text("utf-8"))
        except (OSError, ValueError):
            return None
        if datetime.fromisoformat(told["at"]) < since:
            return None
        return {int(rank): text for rank, text in told["said"].items()}

    def keep_only(self, bid_ids: Collection[str]) -> None:
        """See `LogKeep.keep_only`."""
        for folder in self._folder.iterdir() if self._folder.is_dir() else ():
            if folder.name not in bid_ids:
                shutil.rmtree(folder, ignore_errors=True)

    def _said(self, bid_id: str) -> Path:
        return self._base(bid_id, 0).with_name("said.json")

    def _base(self, bid_id: str, rank: int) -> Path:
        return self._folder / bid_id.replace("/", "_") / str(rank)

    def _stretches(self, bid_id: str, rank: int) -> list[node_files.Stretch]:
        try:
            return node_files.parse_index(
                self._base(bid_id, rank).with_suffix(".index").read_bytes()
            )
        except FileNotFoundError:
            return []


def _private(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b")
