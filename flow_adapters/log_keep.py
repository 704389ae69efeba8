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
from flow_adapters.locks import hold
from flow_core.domain import node_files
from flow_core.domain.run import LogChunk, Stream
from flow_core.errors import NoRoom

_STREAMS = (Stream.OUT, Stream.ERR, Stream.NOTE)
#: How long to wait for another process that keeps the same log; it takes milliseconds.
_PATIENCE_S = 5.0


class FolderLogKeep:
    """Implements `ports.log_keep.LogKeep` below `folder`; whoever reads a node's log, and the watcher, write."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def size(self, bid_id: str, rank: int) -> int:
        """See `LogKeep.size`."""
        try:
            with self._base(bid_id, rank).with_suffix(".index").open("rb") as index:
                whole = index.seek(0, os.SEEK_END) // node_files.ENTRY.size
                index.seek(max(whole - 1, 0) * node_files.ENTRY.size)
                last = index.read(node_files.ENTRY.size)
        except FileNotFoundError:
            return 0
        return node_files.parse_entry(last).end if whole else 0

    def keep(self, bid_id: str, chunk: LogChunk) -> None:
        """See `LogKeep.keep`. The bytes are written before the index that makes them count."""
        if chunk.offset != self.size(bid_id, chunk.rank) or not (chunk.pieces or chunk.is_last):
            return
        base = self._base(bid_id, chunk.rank)
        places.made(base.parent)
        with hold(base.with_suffix(".lock"), patience_s=_PATIENCE_S) as is_mine:
            if is_mine and chunk.offset == self.size(bid_id, chunk.rank):
                _add(base, chunk)

    def read(self, bid_id: str, rank: int, *, offset: int, limit: int) -> LogChunk | None:
        """See `LogKeep.read`."""
        base = self._base(bid_id, rank)
        # Before the rest: what is whole now grows no more while it is read.
        is_whole = base.with_suffix(".whole").exists()
        size = self.size(bid_id, rank)
        if offset >= size:
            empty = LogChunk(rank=rank, offset=offset, next_offset=offset, is_last=True)
            return empty if is_whole else None
        with base.with_suffix(".log").open("rb") as log:
            log.seek(offset)
            data = log.read(min(limit, size - offset))
        stretches = _stretches(base, offset, offset + len(data))
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


def _add(base: Path, chunk: LogChunk) -> None:
    entries = bytearray()
    place = chunk.offset
    for piece in chunk.pieces:
        entries += node_files.ENTRY.pack(
            place, len(piece.data), _STREAMS.index(piece.stream), piece.at.timestamp()
        )
        place += len(piece.data)
    try:
        with _private(base.with_suffix(".log")) as log:
            log.truncate(chunk.offset)
            log.seek(chunk.offset)
            log.write(chunk.data)
        with _private(base.with_suffix(".index")) as index:
            size = index.seek(0, os.SEEK_END)
            index.seek(size - size % node_files.ENTRY.size)
            index.write(entries)
        if chunk.is_last:
            base.with_suffix(".whole").touch(mode=0o600)
    except OSError as full:
        if full.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise NoRoom(f"no room to keep a log in {base.parent}", hint="make room") from full


def _stretches(base: Path, begin: int, end: int) -> list[node_files.Stretch]:
    """Return the stretches that have bytes between two offsets."""
    index = base.with_suffix(".index").read_bytes()
    size = node_files.ENTRY.size

    def stretch(number: int) -> node_files.Stretch:
        return node_files.parse_entry(index[number * size : (number + 1) * size])

    count, found = len(index) // size, []
    number = node_files.first_stretch_past(begin, count=count, stretch=stretch)
    while number < count and (each := stretch(number)).offset < end:
        found.append(each)
        number += 1
    return found


def _private(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b")
