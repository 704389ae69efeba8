"""Outputs of many nodes, each kept until the end, and then written once for all nodes that wrote the same.

What a node wrote to stdout and to stderr is compared apart, whatever the order in which both came. Little of it is
held in memory: what is more than `SMALL` bytes lies in a file without a name.
"""

from __future__ import annotations

import hashlib
import tempfile
from typing import IO

from flow_cli.log_lines import bytes_json
from flow_cli.show.exits import ranks_text
from flow_cli.streams import Out, Talk
from flow_core.domain.run import LogPiece, Stream

SMALL = 64 << 10
_LONG_LINE = 1 << 20


class FoldedSink:
    """A `log_lines.Sink` that writes at `end`: lines behind the ranks that they are from, or JSON documents."""

    def __init__(self, out: Out, talk: Talk, *, json: bool, colour: bool = False) -> None:
        self._out = out
        self._talk = talk
        self._json = json
        self._colour = colour and out.is_terminal
        self._kept: dict[tuple[int, Stream], _Kept] = {}

    def take(self, rank: int, piece: LogPiece) -> None:
        """See `Sink.take`."""
        self._kept.setdefault((rank, piece.stream), _Kept()).add(piece.data)

    def end(self) -> None:
        """See `Sink.end`."""
        groups: dict[tuple[Stream, bytes], list[int]] = {}
        for (rank, stream), kept in sorted(self._kept.items()):
            groups.setdefault((stream, kept.digest), []).append(rank)
        for (stream, _), ranks in sorted(groups.items(), key=lambda each: each[1]):
            self._write(ranks, stream, self._kept[ranks[0], stream].file)
        for kept in self._kept.values():
            kept.file.close()
        self._kept.clear()

    def _write(self, ranks: list[int], stream: Stream, file: IO[bytes]) -> None:
        file.seek(0)
        if self._json:
            content = bytes_json(file.read())
            self._out.document("log", {"ranks": ranks, "stream": stream.value, **content})
            return
        goal = self._talk if stream is Stream.ERR else self._out
        label = b"[%s]" % ranks_text(ranks).encode()
        lead = b"\x1b[36m%s\x1b[0m " % label if self._colour else label + b" "
        is_begin = True
        while line := file.readline(_LONG_LINE):
            goal.data(lead + line if is_begin else line)
            is_begin = line.endswith(b"\n")
        if not is_begin:
            goal.data(b"\n")


class _Kept:
    """What one node wrote to one stream."""

    def __init__(self) -> None:
        self.file: IO[bytes] = tempfile.SpooledTemporaryFile(SMALL)  # noqa: SIM115
        self._hash = hashlib.sha256()

    def add(self, data: bytes) -> None:
        self.file.write(data)
        self._hash.update(data)

    @property
    def digest(self) -> bytes:
        return self._hash.digest()
