"""Logs kept on this machine, for providers that keep none: what was read from a node before it went.

What nodes said last of their commands is kept too, so that a command that only looks needn't ask them all again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Protocol

from flow_core.domain.run import LogChunk


class LogKeep(Protocol):
    """Keeps logs by bid and rank, byte for byte, until told to drop them."""

    def size(self, bid_id: str, rank: int) -> int:
        """Return how many bytes are kept of a node's log; 0 where nothing is."""
        ...

    def keep(self, bid_id: str, chunk: LogChunk) -> None:
        """Add a chunk that begins where what is kept ends; one that begins elsewhere is left out.

        Of several processes that keep the same bytes at once, one does.

        Raises:
            NoRoom: this machine's disk is full.
        """
        ...

    def read(self, bid_id: str, rank: int, *, offset: int, limit: int) -> LogChunk | None:
        """Return a stretch of what is kept; None where nothing is from `offset` on and more may follow."""
        ...

    def tell(self, bid_id: str, said: Mapping[int, str], *, at: datetime) -> None:
        """Keep what the nodes of a bid said of their commands at `at`, by rank, in place of what they said before.

        A disk that is full keeps what was said before.
        """
        ...

    def told(self, bid_id: str, *, since: datetime) -> Mapping[int, str] | None:
        """Return what the nodes of a bid said last, by rank; None where nobody was told at `since` or later."""
        ...

    def keep_only(self, bid_ids: Collection[str]) -> None:
        """Drop the logs of all other bids."""
        ...
