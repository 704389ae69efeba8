"""The files that make a node, and what they write there, read back: state, log, answers. All pure: bytes to values.

The log is one file of bytes and an index of fixed-size entries, one a stretch: offset, length, stream, unix time.
Bytes past the last entry are still being written and don't exist yet for a reader.
"""

from __future__ import annotations

import json
import re
import shlex
import struct
import zlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

from attrs import define, field, frozen

from flow_core.domain.allocation import Notice
from flow_core.domain.run import LogChunk, LogPiece, RunPhase, RunReport, Stream

#: Turns the node's unix seconds into a time of ours.
Moment = Callable[[float], datetime]

#: Where the helper is, as a shell on the node knows: whatever the node's FLOW_HOME is.
HELPER_FILE = '"${FLOW_HOME:-/opt/flow}/bin/flow-node"'
#: How the core calls it, by the Python that the node says. Reading the program takes longer than most answers, so it is
#: kept compiled beside itself, as an imported module is; and nothing is loaded that only a user's own programs need.
NODE_HELPER = (
    '"${FLOW_PYTHON:-python3}" -ISc "import sys;from importlib.machinery import SourceFileLoader as L;'
    "exec(L('__main__',sys.argv.pop(1)).get_code('__main__'))\" " + HELPER_FILE
)
#: What a question for a log ends with: its name, an offset and a limit.
ASKS_LOG = re.compile(r" flow-log (?P<offset>[0-9]+) (?P<limit>[0-9]+)\Z")
ENTRY = struct.Struct("<QIId")
_STREAMS = (Stream.OUT, Stream.ERR, Stream.NOTE)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@frozen(kw_only=True)
class NodeFiles:
    """The plain files of `flow_core/node`, read by whoever may read files.

    `kit` makes a zip that Python runs: what sets a node up for a command, where there is anything to set up. It doesn't
    ride in the script; it is delivered.
    """

    helper: str
    boot: str
    kit: Callable[[], bytes] = bytes
    #: A program that prints a stretch of a node's log, see `log_line`; it is sent along with the question.
    log_reader: str = ""
    #: What stands around a batch script for Slurm.
    batch: str = ""
    #: Returns `boot` and `helper` squeezed, where somebody keeps them: squeezing takes a tenth of a second.
    squeezed: Callable[[], tuple[str, str]] | None = field(default=None, eq=False)


def utc(unix_s: float) -> datetime:
    """Return the aware UTC time of `unix_s`."""
    return _EPOCH + timedelta(seconds=unix_s)


@frozen
class Stretch:
    """Where in the log one stream wrote without another between."""

    offset: int
    length: int
    stream: Stream
    at: float

    @property
    def end(self) -> int:
        """The offset after its last byte."""
        return self.offset + self.length


def parse_state(text: str, *, rank: int, at: Moment = utc) -> RunReport:
    """Return what a state file, or the helper's `report`, says; an empty one is a helper that only just starts."""
    raw = json.loads(text) if text.strip() else {}
    if not raw.get("phase"):
        return RunReport(rank=rank, phase=RunPhase.WAITING, waiting_for="the node to start")
    began, ended = raw.get("began_at"), raw.get("ended_at")
    return RunReport(
        rank=rank,
        phase=RunPhase(raw["phase"]),
        attempt=raw.get("attempt", 0),
        exit_code=raw.get("exit_code"),
        began_at=None if began is None else at(began),
        ended_at=None if ended is None else at(ended),
        log_bytes=raw.get("log_bytes", 0),
        waiting_for=raw.get("waiting_for", ""),
        wants_delivery=raw.get("wants_delivery", False),
        retried=raw.get("retried", 0),
        reason=raw.get("reason") or "",
        membership=raw.get("used", 0),
    )


def log_line(reader: str, *, offset: int, limit: int) -> str:
    """Return the line that has a node print a stretch of its log by `reader`, the text of `NodeFiles.log_reader`."""
    return f'"${{FLOW_PYTHON:-python3}}" -ISc {shlex.quote(reader)} flow-log {offset} {limit}'


def parse_log_answer(answer: bytes, *, rank: int, offset: int = 0, at: Moment = utc) -> LogChunk:
    """Return the stretch that the reader of logs printed: a line that describes it, then its bytes.

    Where the line says so, they come squeezed by zlib. An answer cut short gives the bytes that came, and
    `next_offset` says where to go on.
    """
    coming = LogAnswer(rank=rank, offset=offset, at=at)
    coming.take(answer)
    return coming.chunk()


@define
class LogAnswer:
    """What the reader of logs prints, read while it comes: `take` bytes, and ask for the `chunk` they make.

    Chunks follow on each other from `offset`; an answer that breaks off has no last one.
    """

    rank: int
    offset: int
    at: Moment = utc
    #: What came of the line that describes the rest, and then the log's bytes as they came, whose length is `waiting`.
    _head: bytes = field(default=b"", init=False)
    _parts: list[bytes] = field(factory=list, init=False)
    waiting: int = field(default=0, init=False)
    _ahead: deque[list[Any]] = field(factory=deque, init=False)
    _end: int | None = field(default=None, init=False)
    _squeezed: Any = field(default=None, init=False)
    _is_last: bool = field(default=False, init=False)

    def take(self, data: bytes) -> None:
        """Add bytes as they came."""
        if self._end is None:
            self._head += data
            line, newline, data = self._head.partition(b"\n")
            if not newline:
                return
            self._read_head(json.loads(line))
        if self._squeezed is not None:
            data = self._squeezed.decompress(data)
        if data:
            self._parts.append(data)
            self.waiting += len(data)

    def chunk(self) -> LogChunk:
        """Return the stretch that has come since the last one; empty where nothing has."""
        begin, place, pieces = self.offset, 0, []
        # A long log comes in pieces of a megabyte: what can be passed on as it is isn't copied.
        data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        while self._ahead and place < len(data):
            stream, size, moment = self._ahead[0]
            piece = data[place : place + size] if place or size < len(data) else data
            pieces.append(LogPiece(Stream(stream), self.at(moment), piece))
            place += len(piece)
            if len(piece) < size:
                self._ahead[0] = [stream, size - len(piece), moment]
            else:
                self._ahead.popleft()
        self._parts, self.waiting = [], 0
        self.offset = begin + place
        return LogChunk(
            rank=self.rank,
            offset=begin,
            next_offset=self.offset,
            pieces=tuple(pieces),
            is_last=self.is_whole,
        )

    @property
    def is_whole(self) -> bool:
        """Whether the log is over, and all of it has been in chunks."""
        return self._is_last and self.offset == self._end

    def _read_head(self, head: Mapping[str, Any]) -> None:
        self._squeezed = zlib.decompressobj() if head.get("zlib") else None
        self.offset, self._end = head["offset"], head["next_offset"]
        self._ahead = deque(head["pieces"])
        self._is_last = head["is_last"]


def parse_entry(entry: bytes) -> Stretch:
    """Return one entry of the index."""
    offset, length, stream, at = ENTRY.unpack(entry)
    return Stretch(offset, length, _STREAMS[stream], at)


def parse_index(index: bytes) -> list[Stretch]:
    """Return the whole index; a last entry that is still being written is left out."""
    whole = len(index) - len(index) % ENTRY.size
    return [parse_entry(index[place : place + ENTRY.size]) for place in range(0, whole, ENTRY.size)]


def first_stretch_past(offset: int, *, count: int, stretch: Callable[[int], Stretch]) -> int:
    """Return the number of the first of `count` stretches that ends after `offset`; `count` if none does."""
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        if stretch(middle).end > offset:
            high = middle
        else:
            low = middle + 1
    return low


def chunk(
    data: bytes,
    stretches: Sequence[Stretch],
    *,
    rank: int,
    offset: int,
    at: Moment = utc,
    is_last: bool = False,
) -> LogChunk:
    """Return the log from `offset` as `data` (its bytes from there on) and the stretches that cover it tell it."""
    pieces: list[LogPiece] = []
    end = offset
    for each in stretches:
        piece = data[end - offset : each.end - offset]
        if each.end > end and piece:
            pieces.append(LogPiece(each.stream, at(each.at), piece))
            end += len(piece)
    return LogChunk(
        rank=rank, offset=offset, next_offset=end, pieces=tuple(pieces), is_last=is_last
    )


def notice_text(notice: Notice, *, deadline: float) -> str:
    """Return what the notice file holds while `notice` stands: its kind, and when, as UTC in ISO 8601.

    `deadline` is in the node's unix seconds, for the command's clock is the node's.
    """
    at = utc(deadline).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return json.dumps({"kind": notice.kind.value, "deadline": at})
