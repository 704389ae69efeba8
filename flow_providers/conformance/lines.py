"""What the kit asks nodes to run: lines for `sh`, and what each must write and return.

A rig whose nodes only pretend can teach them these: `LINES` is the whole list, with every line's true effect.
"""

from __future__ import annotations

from attrs import frozen


@frozen
class Line:
    """A line for `sh`, the bytes it writes, how it exits, and for how many seconds it runs at least."""

    text: str
    out: bytes = b""
    err: bytes = b""
    code: int = 0
    takes_s: float = 0.0


#: Lasts longer than any test waits.
STAYS = Line("sleep 86400", takes_s=86400.0)
#: Leaves its process id behind, and stays; and whether that process is gone.
TRACED = "echo $$ > kit-pid; echo begun; exec sleep 86400"
IS_GONE = "! kill -0 $(cat kit-pid) 2>/dev/null"
NOTHING = Line("true")
FAILS = Line("exit 3", code=3)
#: Bytes that are no text in any encoding, and no newline at the end.
RAW_BYTES = Line(r"printf 'caf\351\000\377 end'", out=b"caf\xe9\x00\xff end")
BOTH_STREAMS = Line("echo said; echo moaned >&2; exit 7", out=b"said\n", err=b"moaned\n", code=7)
#: Says one thing and then stays, so that its log is there and may still grow.
SPEAKS_AND_STAYS = Line("echo begun; sleep 86400", out=b"begun\n", takes_s=86400.0)

LINES = (STAYS, NOTHING, FAILS, RAW_BYTES, BOTH_STREAMS, SPEAKS_AND_STAYS)
