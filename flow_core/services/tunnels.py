"""Loopback ports of this machine that lead to a task's node, wherever that node is now."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack

from attrs import frozen

from flow_core.domain.allocation import Node
from flow_core.domain.record import TaskRecord
from flow_core.errors import Conflict, NodeUnreachable, Transient
from flow_core.services.polling import intervals
from flow_core.services.ports import Ports
from flow_core.services.remote import Remote

#: Real seconds between two looks at a node that a tunnel leads to.
LOOK_S = 5.0


@frozen
class Opened:
    """The tunnel leads to `node`: connections to `local_port` of this machine's loopback reach `port` there."""

    node: Node
    port: int
    local_port: int


@frozen
class Away:
    """The tunnel leads nowhere for now, and why, in words; `node` is the one that gave no answer, if one was asked."""

    reason: str
    node: Node | None = None


TunnelEvent = Opened | Away
#: A port on the node: a number, or what tells it, which is asked again at each look and may start a server there.
Wanted = int | Callable[[Node], int]


class Tunnels:
    """Holds tunnels open."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._remote = Remote(ports)

    def hold(
        self, name: str, wanted: Wanted, *, rank: int = 0, local_port: int = 0
    ) -> Generator[TunnelEvent, None, None]:
        """Keep a tunnel to `wanted` on the task's node of `rank` until the task ends; yield what becomes of it.

        An `Opened` comes when it leads to a node, an `Away` with each new reason why it doesn't. The local port is
        `local_port`, or a free one that stays the same for as long as the tunnel is held. Closing the generator closes
        the tunnel.

        Raises:
            NotFound: no such task, or no such rank.
            Conflict: the task has ended before anything was opened, or `local_port` is taken.
            Unsupported: nothing outside this provider's nodes can connect to them.
            FlowError: what `wanted` raises, unless the node gave no answer.
        """
        record = self._ports.journal.find(name, provider=self._ports.provider.name)
        if _is_over(record):
            raise Conflict(
                f"{record.name!r} has ended; nothing of it can be connected to",
                hint="`flow status` shows what runs",
            )
        held = _Held(self._ports, wanted, local_port)
        waits, said = intervals(LOOK_S), ""
        with held:
            while not _is_over(self._ports.journal.find(record.token)):
                node = None
                try:
                    [node] = self._remote.nodes(record.token, ranks=[rank])
                    opened = held.lead_to(node)
                    if opened is not None:
                        said = ""
                        yield opened
                except (Conflict, NodeUnreachable, Transient) as trouble:
                    if isinstance(trouble, Conflict) and held.is_refused:
                        raise
                    if not isinstance(trouble, Transient):
                        held.close()
                    if trouble.message != said:
                        said, waits = trouble.message, intervals(LOOK_S)
                        yield Away(
                            trouble.message, node if isinstance(trouble, NodeUnreachable) else None
                        )
                self._ports.watch.ensure()
                self._ports.clock.sleep(next(waits))


def _is_over(record: TaskRecord) -> bool:
    """Whether the task has no nodes any more, or is about to give them back for good."""
    is_kept = record.spec.keep and not record.cancel_asked
    return not record.is_live or record.cancel_asked or (record.has_ended and not is_kept)


class _Held:
    """The one port that is open, if any."""

    def __init__(self, ports: Ports, wanted: Wanted, local_port: int) -> None:
        self._shell = ports.provider.shell
        self._wanted = wanted
        self._local_port = local_port
        self._was_open = False
        self._key: tuple[object, ...] = ()
        self._stack = ExitStack()
        #: Whether this machine wouldn't give the port, though no tunnel had it before.
        self.is_refused = False

    def __enter__(self) -> _Held:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def lead_to(self, node: Node) -> Opened | None:
        """Have the port lead to `node`; None where it does already."""
        port = self._wanted if isinstance(self._wanted, int) else self._wanted(node)
        key = (node.id, node.address, port)
        if key == self._key:
            return None
        self.close()
        forward = self._shell.forward(node, port, local_port=self._local_port)
        try:
            self._local_port = self._stack.enter_context(forward)
        except Conflict:
            self.is_refused = not self._was_open
            raise
        self._was_open, self._key = True, key
        return Opened(node, port, self._local_port)

    def close(self) -> None:
        """Let go of the port."""
        self._key = ()
        self._stack.close()
