"""Logs kept on this machine, for providers that keep none: what was read from a node before it went."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from flow_core.domain.run import LogChunk


class LogKeep(Protocol):
    """Keeps logs by bid and rank, byte for byte, until told to drop them."""

    def size(self, bid_id: str, rank: int) -> int:
        """Return how many bytes are kept of a node's log; 0 where nothing is."""
        ...

    def keep(self, bid_id: str, chunk: LogChunk) -> None:
        """Add a chunk that begins where what is kept ends; one that begins elsewhere is left out.

        Raises:
            NoRoom: this machine's disk is full.
        """
        ...

    def read(self, bid_id: str, rank: int, *, offset: int, limit: int) -> LogChunk | None:
        """Return a stretch of what is kept; None where nothing is from `offset` on and more may follow."""
        ...

    def keep_only(self, bid_ids: Collection[str]) -> None:
        """Drop the logs of all other bids."""
        ...
