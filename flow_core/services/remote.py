"""Commands on a task's nodes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractContextManager

from flow_core.domain.allocation import Node
from flow_core.domain.record import TaskRecord
from flow_core.errors import Conflict, NotFound
from flow_core.ports.shell import Call, Events
from flow_core.services.looking import look
from flow_core.services.ports import Ports


class Remote:
    """Reaches into running tasks."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    def nodes(self, name: str, *, ranks: Collection[int] | None = None) -> tuple[Node, ...]:
        """Return the nodes of a task that can be reached, by rank; those of `ranks` if given.

        Raises:
            NotFound: no such task, or no such rank.
            Conflict: the task has no nodes now; the message says what state it is in.
        """
        record: TaskRecord = self._ports.journal.find(name, provider=self._ports.provider.name)
        view = look(self._ports, [record])[0]
        nodes = view.allocation.nodes if view.allocation is not None else ()
        missing = sorted(set(ranks or ()) - set(range(record.spec.num_instances)))
        if missing:
            raise NotFound(
                f"{record.name!r} has no node {missing[0]}",
                hint=f"its nodes are 0 to {record.spec.num_instances - 1}",
            )
        found = tuple(
            node for node in nodes if node.is_reachable and (ranks is None or node.rank in ranks)
        )
        if not found:
            raise Conflict(
                f"{record.name!r} is {view.state.value}; no node of it can be reached",
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

        See `ports.shell.RemoteShell.run_many`; whoever stops before the end closes what is returned.
        """
        calls = [Call(node=node, line=line, stdin=stdin(node)) for node in nodes]
        return self._ports.provider.shell.run_many(calls, timeout_s=timeout_s)

    def attach(self, node: Node, line: str | None = None) -> int:
        """Give this terminal to a shell, or to `line`, on the node; return its exit code."""
        return self._ports.provider.shell.attach(node, line)

    def forward(self, node: Node, port: int, *, local_port: int = 0) -> AbstractContextManager[int]:
        """While entered, a loopback port of this machine reaches `port` on the node; yields its number."""
        return self._ports.provider.shell.forward(node, port, local_port=local_port)
