"""The logs role played over the shell, for providers that keep no logs themselves.

The node helper is asked while the node is there. Before the watcher gives the nodes back it reads what is left and
keeps it on this machine (`keep_rest`), so that a log's end is never lost with its node.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import closing, suppress

from flow_core.domain.allocation import Node
from flow_core.domain.node_files import parse_log_answer, parse_state
from flow_core.domain.run import LogChunk, RunReport, Stream
from flow_core.domain.script import NODE_HELPER
from flow_core.errors import NodeUnreachable, NotFound
from flow_core.ports.log_keep import LogKeep
from flow_core.ports.provider import Provider
from flow_core.ports.shell import Call, NodeExit, NodeLost, NodeOutput

#: Real seconds a node may take to answer one question of the helper's.
ANSWER_S = 30.0


class NodeLogs:
    """Implements `ports.logs.Logs` from the nodes while they can be reached, and from `keep` where it has more."""

    def __init__(self, provider: Provider, keep: LogKeep) -> None:
        self._provider = provider
        self._keep = keep

    def reports(self, bid_ids: Collection[str]) -> Mapping[str, tuple[RunReport, ...]]:
        """See `Logs.reports`. A node that doesn't answer has no report in this sweep."""
        found: dict[str, list[RunReport]] = {bid_id: [] for bid_id in bid_ids}
        calls: list[Call] = []
        owner: dict[str, str] = {}
        for bid_id, allocation in self._provider.fleet.allocations(bid_ids).items():
            for node in allocation.nodes:
                if node.is_reachable:
                    owner[node.id] = bid_id
                    calls.append(Call(node=node, line=f"{NODE_HELPER} report"))
        for node, answer in self._answers(calls).items():
            found[owner[node.id]].append(
                parse_state(answer.decode("utf-8", "replace"), rank=node.rank)
            )
        return {
            bid_id: tuple(sorted(each, key=lambda report: report.rank))
            for bid_id, each in found.items()
        }

    def read(self, bid_id: str, rank: int, *, offset: int = 0, limit: int = 1 << 20) -> LogChunk:
        """See `Logs.read`."""
        kept = self._keep.read(bid_id, rank, offset=offset, limit=limit)
        if kept is not None:
            return kept
        allocation = self._provider.fleet.allocations([bid_id])[bid_id]
        node = next((each for each in allocation.nodes if each.rank == rank), None)
        if node is None or not node.is_reachable:
            raise NotFound(f"node {rank} is gone, and no more of its log was kept than was read")
        answers = self._answers([Call(node=node, line=f"{NODE_HELPER} log {offset} {limit}")])
        if node not in answers:
            raise NodeUnreachable(f"node {rank} did not give its log")
        return parse_log_answer(answers[node], rank=rank, offset=offset)

    def keep_rest(self, bid_id: str, ranks: Collection[int]) -> None:
        """Keep what is still to be read of the logs of `ranks`, as their end: their nodes go next.

        Raises:
            NoRoom: this machine's disk is full.
        """
        for rank in ranks:
            with suppress(NotFound, NodeUnreachable):
                self._keep_rest(bid_id, rank)
            end = self._keep.size(bid_id, rank)
            last = LogChunk(rank=rank, offset=end, next_offset=end, is_last=True)
            self._keep.keep(bid_id, last)

    def _keep_rest(self, bid_id: str, rank: int) -> None:
        while True:
            offset = self._keep.size(bid_id, rank)
            chunk = self.read(bid_id, rank, offset=offset)
            self._keep.keep(bid_id, chunk)
            if chunk.is_last or chunk.next_offset == offset:
                return

    def _answers(self, calls: list[Call]) -> dict[Node, bytes]:
        said: dict[Node, bytearray] = {}
        answered: dict[Node, bytes] = {}
        with closing(self._provider.shell.run_many(calls, timeout_s=ANSWER_S)) as events:
            for event in events:
                if isinstance(event, NodeOutput) and event.stream is Stream.OUT:
                    said.setdefault(event.node, bytearray()).extend(event.data)
                elif isinstance(event, NodeExit) and event.code == 0:
                    answered[event.node] = bytes(said.get(event.node, b""))
                elif isinstance(event, NodeLost):
                    said.pop(event.node, None)
        return answered
