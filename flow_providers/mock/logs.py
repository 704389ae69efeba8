"""The logs role of the in-process door: what the hosts of the nodes keep, by bid and rank."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from attrs import evolve

from flow_core.domain.run import LogChunk, RunReport
from flow_core.errors import NotFound
from flow_providers.mock.engine import Engine
from flow_providers.mock.rows import NodeRow


class PretendLogs:
    """Implements `ports.logs.Logs`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def reports(self, bid_ids: Collection[str]) -> Mapping[str, tuple[RunReport, ...]]:
        """See `Logs.reports`."""
        nodes = self._engine.look("reports", lambda world, _: world.nodes.of(bid_ids))
        found: dict[str, list[RunReport]] = {bid_id: [] for bid_id in bid_ids}
        for node in sorted(nodes, key=_rank):
            report = self._engine.host.report(node.id)
            if report is not None:
                found[node.bid].append(evolve(report, rank=node.rank))
        return {bid_id: tuple(each) for bid_id, each in found.items()}

    def read(self, bid_id: str, rank: int, *, offset: int = 0, limit: int = 1 << 20) -> LogChunk:
        """See `Logs.read`."""
        bid, nodes = self._engine.look(
            "read", lambda world, _: (world.bids.get(bid_id), world.nodes.of([bid_id]))
        )
        if bid is None or not 0 <= rank < bid.quantity:
            raise NotFound(f"bid {bid_id!r} has no node {rank}")
        node = next((each for each in nodes if each.rank == rank), None)
        chunk = (
            self._engine.host.read(node.id, offset=offset, limit=limit)
            if node is not None
            else None
        )
        if chunk is None:
            return LogChunk(rank=rank, offset=offset, next_offset=offset, is_last=not bid.is_live)
        return evolve(chunk, rank=rank)


def _rank(node: NodeRow) -> int:
    return node.rank
