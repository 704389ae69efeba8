"""Writing tasks' logs: bytes as they are, lines with the node's rank in front, or JSON documents.

Only what the command itself wrote is raw. The node script's own words are talk, and escaped.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Sequence
from typing import Protocol

from flow_cli.show.text import stamp
from flow_cli.streams import Out, Talk
from flow_core.domain.run import LogPiece, Stream
from flow_core.errors import InvalidRequest

#: Colours that tell ranks apart on a terminal.
_COLOURS = (36, 33, 35, 32, 34, 31)


class Sink(Protocol):
    """Takes pieces of logs."""

    def take(self, rank: int, piece: LogPiece) -> None:
        """Write one piece of one node's log."""
        ...

    def end(self) -> None:
        """Write what is still held back: the beginning of a line whose end never came."""
        ...


class RawSink:
    """One node's bytes as they came; the command's stderr goes to `talk` where that is given, else to `out` too."""

    def __init__(self, out: Out, talk: Talk, *, split: bool = False) -> None:
        self._out = out
        self._talk = talk
        self._split = split

    def take(self, rank: int, piece: LogPiece) -> None:
        """See `Sink.take`."""
        if piece.stream is Stream.NOTE:
            _say_note(self._talk, piece.data)
        elif piece.stream is Stream.ERR and self._split:
            self._talk.data(piece.data)
        else:
            self._out.data(piece.data)

    def end(self) -> None:
        """See `Sink.end`."""


class RankedSink:
    """Whole lines of many nodes, each behind its rank. A line is written when its end has come."""

    def __init__(self, out: Out, talk: Talk, *, split: bool = False, colour: bool = False) -> None:
        self._out = out
        self._talk = talk
        self._split = split
        self._colour = colour
        self._held: dict[tuple[int, Stream], bytes] = {}

    def take(self, rank: int, piece: LogPiece) -> None:
        """See `Sink.take`."""
        if piece.stream is Stream.NOTE:
            _say_note(self._talk, piece.data, lead=f"[{rank}] ")
            return
        key = (rank, piece.stream)
        *lines, rest = (self._held.pop(key, b"") + piece.data).split(b"\n")
        if rest:
            self._held[key] = rest
        if lines:
            lead = self._lead(rank)
            self._write(piece.stream, b"".join(lead + line + b"\n" for line in lines))

    def end(self) -> None:
        """See `Sink.end`."""
        for (rank, stream), rest in sorted(self._held.items()):
            self._write(stream, self._lead(rank) + rest + b"\n")
        self._held.clear()

    def _write(self, stream: Stream, data: bytes) -> None:
        if stream is Stream.ERR and self._split:
            self._talk.data(data)
        else:
            self._out.data(data)

    def _lead(self, rank: int) -> bytes:
        if not self._colour:
            return b"[%d] " % rank
        return b"\x1b[%dm[%d]\x1b[0m " % (_COLOURS[rank % len(_COLOURS)], rank)


class JsonSink:
    """One `log` document a piece."""

    def __init__(self, out: Out) -> None:
        self._out = out

    def take(self, rank: int, piece: LogPiece) -> None:
        """See `Sink.take`."""
        payload: dict[str, object] = {
            "rank": rank,
            "stream": piece.stream.value,
            "at": stamp(piece.at),
        }
        self._out.document("log", {**payload, **bytes_json(piece.data)})

    def end(self) -> None:
        """See `Sink.end`."""


class Sieve:
    """Lets through to `inner` only whole lines of the command's that `pattern` is found in, and no notes."""

    def __init__(self, inner: Sink, pattern: re.Pattern[bytes]) -> None:
        self._inner = inner
        self._pattern = pattern
        self._held: dict[tuple[int, Stream], LogPiece] = {}

    def take(self, rank: int, piece: LogPiece) -> None:
        """See `Sink.take`."""
        if piece.stream is Stream.NOTE:
            return
        key = (rank, piece.stream)
        before = self._held.pop(key, None)
        data = (before.data if before is not None else b"") + piece.data
        *lines, rest = data.split(b"\n")
        if rest:
            self._held[key] = LogPiece(piece.stream, piece.at, rest)
        self._pass_on(rank, piece, [line + b"\n" for line in lines])

    def end(self) -> None:
        """See `Sink.end`."""
        for (rank, _), piece in sorted(self._held.items()):
            self._pass_on(rank, piece, [piece.data])
        self._held.clear()
        self._inner.end()

    def _pass_on(self, rank: int, piece: LogPiece, lines: Sequence[bytes]) -> None:
        found = b"".join(line for line in lines if self._pattern.search(line))
        if found:
            self._inner.take(rank, LogPiece(piece.stream, piece.at, found))


def pattern_of(text: str) -> re.Pattern[bytes]:
    """Return the regular expression that `--grep` was given.

    Raises:
        InvalidRequest: it is none.
    """
    try:
        return re.compile(text.encode())
    except re.error as error:
        raise InvalidRequest(
            {"--grep": f"{text!r} is no regular expression: {error}"},
            hint="a backslash before a special character takes it as it is",
        ) from error


def sink_for(
    out: Out, talk: Talk, *, json: bool, nodes: int, split: bool = False, colour: bool = False
) -> Sink:
    """Return how to write the logs of so many nodes."""
    if json:
        return JsonSink(out)
    if nodes > 1:
        return RankedSink(out, talk, split=split, colour=colour and out.is_terminal)
    return RawSink(out, talk, split=split)


def only(piece: LogPiece, streams: Collection[Stream]) -> bool:
    """Whether a piece is of a stream that was asked for; none means all."""
    return not streams or piece.stream in streams


def bytes_json(data: bytes) -> dict[str, object]:
    """Return bytes as JSON holds them: as text where they are UTF-8, else in base64."""
    try:
        return {"text": data.decode("utf-8")}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode("ascii")}


def _say_note(talk: Talk, data: bytes, *, lead: str = "") -> None:
    for line in data.decode("utf-8", "replace").splitlines():
        talk.say(f"{lead}{line}", "dim")
