"""The logs role: what commands wrote and how they ended, kept by the provider.

Optional: without it, the core asks the node helper over the shell, while the nodes are there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from flow_core.domain.run import LogChunk, RunReport


class Logs(Protocol):
    """Keeps every node's log byte for byte, and its exit code, also after the node has gone."""

    def reports(self, bid_ids: Collection[str]) -> Mapping[str, tuple[RunReport, ...]]:
        """Return what the nodes of each bid last said, by rank, in one sweep; may be repeated.

        Every id asked for is answered; a bid whose nodes have not spoken yet has an empty tuple.
        """
        ...

    def read(self, bid_id: str, rank: int, *, offset: int = 0, limit: int = 1 << 20) -> LogChunk:
        """Return up to `limit` bytes of one node's log from byte `offset`, at once, without waiting for more.

        Reading on from `next_offset` misses no byte and repeats none. At the end of a log that still grows the chunk
        is empty and not last. A log keeps growing, with the same offsets, across restarts of its node.
        `offset` past the end gives an empty chunk at `offset`.

        Raises:
            NotFound: there is no such bid or rank, or its log is no longer kept.
        """
        ...
