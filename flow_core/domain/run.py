"""What a node says of the command it runs, and pieces of its log."""

from __future__ import annotations

import enum
from datetime import datetime

from attrs import frozen

#: How the reason begins that a node gives for a command that it ended because a fellow's had failed.
ENDED_FOR = "ended because "


class RunPhase(str, enum.Enum):
    """How far the node script has come; INTERRUPTED is a run that the node's own stop cut short, not an end."""

    WAITING = "waiting"
    RUNNING = "running"
    EXITED = "exited"
    INTERRUPTED = "interrupted"


@frozen(kw_only=True)
class RunReport:
    """One node's word on its command.

    `attempt` counts from 0 and grows by one each time the node script starts again (a preemption, a reboot).
    `exit_code` follows the shell: 128+n for signal n. `waiting_for` is a phrase for people.
    `wants_delivery` says that the command waits for a membership newer than any it has used, the last of which was
    `membership`: a whole number where a client gave it, one between where nodes found each other. `retried` counts the
    tries that failures have used up. `reason` is why the command could not be run, or which fellow's failure ended it,
    in words; empty where it ran and ended by itself.
    """

    rank: int
    phase: RunPhase
    attempt: int = 0
    exit_code: int | None = None
    began_at: datetime | None = None
    ended_at: datetime | None = None
    log_bytes: int = 0
    waiting_for: str = ""
    wants_delivery: bool = False
    retried: int = 0
    reason: str = ""
    membership: float = 0

    @property
    def ended_for_fellow(self) -> bool:
        """Whether the node ended the command because that of another node had failed."""
        return self.reason.startswith(ENDED_FOR)


class Stream(str, enum.Enum):
    """Where the command wrote it; NOTE is the node script's own word."""

    OUT = "out"
    ERR = "err"
    NOTE = "note"


@frozen
class LogPiece:
    """Bytes as the command wrote them, in one stream, at `at` on the node's clock."""

    stream: Stream
    at: datetime
    data: bytes


@frozen(kw_only=True)
class LogChunk:
    """A stretch of one node's log from byte `offset`; pieces are in the order they were written.

    `next_offset` is where to go on. `is_last` says that the command has ended and nothing follows.
    """

    rank: int
    offset: int
    next_offset: int
    pieces: tuple[LogPiece, ...] = ()
    is_last: bool = False

    @property
    def data(self) -> bytes:
        """All bytes of the stretch, streams together."""
        return b"".join(piece.data for piece in self.pieces)
