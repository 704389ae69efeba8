"""Commands on a task's nodes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractContextManager, closing

from flow_core.domain.allocation import Node, NodeState
from flow_core.domain.bid import BidState
from flow_core.domain.record import TaskRecord
from flow_core.errors import Conflict, NotFound
from flow_core.ports.shell import Call, Events, NodeLost
from flow_core.services.looking import look
from flow_core.services.ports import Ports


class Remote:
    """Reaches into running tasks."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    def nodes(self, name: str, *, ranks: Collection[int] | None = None) -> tuple[Node, ...]:
        """Return the nodes of a task by rank, or those of `ranks`; at least one of them can be reached.

        No node is asked anything, so that one that is dead or slow keeps nobody waiting here.

        Raises:
            NotFound: no such task, or no such rank.
            Conflict: no such node can be reached now; the message says what state the task is in.
        """
        record: TaskRecord = self._ports.journal.find(name, provider=self._ports.provider.name)
        missing = sorted(set(ranks or ()) - set(range(record.spec.num_instances)))
        if missing:
            raise NotFound(
                f"{record.name!r} has no node {missing[0]}",
                hint=f"its nodes are 0 to {record.spec.num_instances - 1}",
            )
        wanted = range(record.spec.num_instances) if ranks is None else sorted(ranks)
        there = self._allocated(record)
        found = tuple(there.get(rank) or _gone(record, rank) for rank in wanted)
        if not any(node.is_reachable for node in found):
            state = look(self._ports, [record])[0].state.value
            raise Conflict(
                f"{record.name!r} is {state}; no node of it can be reached"
                if ranks is None or record.spec.num_instances == 1
                else f"{record.name!r} is {state}; none of the nodes you named can be reached",
                hint=f"`flow status {record.name}` says what it waits for",
            )
        return found

    def run(
        self,
        nodes: Collection[Node],
        line: str,
        *,
        stdin: Callable[[Node], bytes | Iterable[bytes]] = lambda node: b"",
        timeout_s: float | None = None,
    ) -> Events:
        """Run `line` on all `nodes` at once, each with the input that `stdin` gives for it.

        A node that can't be reached in its present state is NodeLost before anything else. Otherwise as
        `ports.shell.RemoteShell.run_many`; whoever stops before the end closes what is returned.
        """
        calls = [
            Call(node=node, line=line, stdin=stdin(node), lone=True)
            for node in nodes
            if node.is_reachable
        ]
        for node in nodes:
            if not node.is_reachable:
                yield NodeLost(node, f"it is {node.state.value}")
        with closing(self._ports.provider.shell.run_many(calls, timeout_s=timeout_s)) as events:
            yield from events

    def attach(self, node: Node, line: str | None = None) -> int:
        """Give this terminal to a shell, or to `line`, on the node; return its exit code."""
        return self._ports.provider.shell.attach(node, line)

    def forward(self, node: Node, port: int, *, local_port: int = 0) -> AbstractContextManager[int]:
        """While entered, a loopback port of this machine reaches `port` on the node; yields its number."""
        return self._ports.provider.shell.forward(node, port, local_port=local_port)

    def _allocated(self, record: TaskRecord) -> dict[int, Node]:
        if record.bid_id is None or not record.is_live:
            return {}
        provider = self._ports.provider
        bids = provider.market.bids(ids=[record.bid_id])
        if not bids or bids[0].state in (BidState.OPEN, BidState.TERMINATED):
            return {}
        allocation = provider.fleet.allocations([record.bid_id])[record.bid_id]
        return {node.rank: node for node in allocation.nodes}


def _gone(record: TaskRecord, rank: int) -> Node:
    """Return what stands for a node that the provider doesn't name now."""
    return Node(id=f"{record.token}-{rank}", rank=rank, state=NodeState.GONE)
