"""The frames of a talk between a caller and a worker: a kind, a call's number, and bytes.

Down go FUNCTION (once a talk for each function: its digest and its bytes) and CALL; up come HELLO, OUT (what the call
wrote), PIECE (a stretch of the result), then END or FLAW. A LINE follows what is waited for: it says nothing, and ends
with a newline, because Slurm's srun passes on whole lines. Python 3.8, standard library only.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from typing import Any

HELLO, FUNCTION, CALL, OUT, PIECE, END, FLAW, LINE = range(8)
HEAD = struct.Struct(">BII")
#: The most that one frame of a result carries, in bytes.
LARGEST_PIECE = 1 << 20
#: The most that a call's arguments, with what tells of the call, may be; their length has four bytes in the head.
MOST_BYTES = (1 << 32) - (1 << 20)
#: How a call ended: its value follows, its exception does, or words for a plain error.
VALUE, RAISED, WORDS = b"V", b"R", b"W"
KEY_BYTES = 32
DIGEST_BYTES = 32


def frame(kind: int, number: int, data: bytes = b"") -> bytes:
    """Return a whole frame."""
    return HEAD.pack(kind, number, len(data)) + data


#: See above.
NEWLINE = frame(LINE, 0, b"\n")


def seal_of(key: bytes, number: int) -> Any:
    """Return a running seal of a call's answer; what is sealed is its number, its pieces, and how it ended."""
    return hmac.new(key, HEAD.pack(END, number, 0), hashlib.sha256)


class Frames:
    """Cuts a stream into frames. A PIECE comes in as many parts as the stream had of it, and none is copied."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._body = bytearray()
        self._kind = self._number = 0
        self._lacking = -1

    def feed(self, data: bytes) -> list[tuple[int, int, Any]]:
        """Take what came; return the frames that are whole now, as kind, number and bytes (of a PIECE, a view)."""
        found: list[tuple[int, int, Any]] = []
        view, place = memoryview(data), 0
        while place < len(view) or self._lacking == 0:
            if self._lacking < 0:
                wanted = HEAD.size - len(self._head)
                self._head += view[place : place + wanted]
                place += wanted
                if len(self._head) < HEAD.size:
                    break
                self._kind, self._number, self._lacking = HEAD.unpack(bytes(self._head))
                self._head, self._body = bytearray(), bytearray()
            piece = view[place : place + self._lacking]
            place += len(piece)
            self._lacking -= len(piece)
            if self._kind == PIECE:
                found.append((PIECE, self._number, piece))
            else:
                self._body += piece
            if self._lacking == 0 and self._kind != PIECE:
                found.append((self._kind, self._number, self._body))
            if self._lacking == 0:
                self._lacking = -1
        return found
