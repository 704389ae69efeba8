"""The logs role played over the shell, for providers that keep no logs themselves: the node helper is asked."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from flow_core.domain.allocation import Node
from flow_core.domain.node_files import parse_log_answer, parse_state
from flow_core.domain.run import LogChunk, RunReport, Stream
from flow_core.domain.script import NODE_HELPER
from flow_core.errors import NodeUnreachable, NotFound
from flow_core.ports.provider import Provider
from flow_core.ports.shell import Call, NodeExit, NodeLost, NodeOutput

#: Real seconds a node may take to answer one question of the helper's.
ANSWER_S = 30.0


class NodeLogs:
    """Implements `ports.logs.Logs` while the nodes can be reached; afterwards the log is not kept."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

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
        allocation = self._provider.fleet.allocations([bid_id])[bid_id]
        node = next((each for each in allocation.nodes if each.rank == rank), None)
        if node is None or not node.is_reachable:
            raise NotFound(
                f"node {rank} is gone, and this provider keeps no logs",
                hint="follow a log while the task runs",
            )
        answers = self._answers([Call(node=node, line=f"{NODE_HELPER} log {offset} {limit}")])
        if node not in answers:
            raise NodeUnreachable(f"node {rank} did not give its log")
        return parse_log_answer(answers[node], rank=rank, offset=offset)

    def _answers(self, calls: list[Call]) -> dict[Node, bytes]:
        said: dict[Node, bytearray] = {}
        answered: dict[Node, bytes] = {}
        for event in self._provider.shell.run_many(calls, timeout_s=ANSWER_S) if calls else ():
            if isinstance(event, NodeOutput) and event.stream is Stream.OUT:
                said.setdefault(event.node, bytearray()).extend(event.data)
            elif isinstance(event, NodeExit) and event.code == 0:
                answered[event.node] = bytes(said.get(event.node, b""))
            elif isinstance(event, NodeLost):
                said.pop(event.node, None)
        return answered
