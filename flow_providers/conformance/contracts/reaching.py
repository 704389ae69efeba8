"""A person's hands on a node: `RemoteShell.attach` and `RemoteShell.forward`."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager

from flow_core.domain.allocation import Node
from flow_core.errors import Conflict, NodeUnreachable, Unsupported
from flow_core.ports.shell import Call, NodeOutput
from flow_providers.conformance.bed import Bed, refuses
from flow_providers.conformance.contracts.base import Contract
from flow_providers.conformance.stating import states
from flow_providers.conformance.terminal import at_terminal

_ATTACH = (
    "Give the caller's terminal to `line`, or to a login shell, on the node; return its exit code."
)
_FORWARD = "While entered, connections to the yielded loopback port reach `port` on the node; 0 picks a free one."
_LOOPBACK = "127.0.0.1"
#: Listens on a free port of the node, says which, and answers in capitals.
_SERVER = """exec "${FLOW_PYTHON:-python3}" -u -c "
import socket
server = socket.socket()
server.bind(('127.0.0.1', 0))
server.listen()
print(server.getsockname()[1])
while True:
    caller = server.accept()[0]
    caller.sendall(caller.recv(64).upper())
    caller.close()
" """


class ReachingContract(Contract):
    """What happens when a terminal or a port is brought to a node."""

    @states("shell.attach", _ATTACH)
    def test_a_line_gets_the_terminal_and_its_exit_code_comes_back(self, bed: Bed) -> None:
        """On a terminal, a line sees a terminal, what it writes is shown, and its exit code is returned."""
        bed.need_commands()
        node = _node(bed)
        line = "test -t 0 && test -t 1 && echo at-a-terminal; exit 7"
        code, shown = at_terminal(lambda: bed.shell.attach(node, line))

        assert 7 == code
        assert b"at-a-terminal" in shown

    @states("shell.attach", _ATTACH)
    def test_without_a_line_there_is_a_shell(self, bed: Bed) -> None:
        """Without a line, what a person types is run by a shell on the node, until they leave it."""
        bed.need_commands()
        node = _node(bed)
        code, shown = at_terminal(
            lambda: bed.shell.attach(node), typed=b"echo $((40 + 2))-was-typed\nexit 5\n"
        )

        assert 5 == code
        assert b"42-was-typed" in shown

    @states("shell.attach", "NodeUnreachable: the node gave no answer.")
    def test_nobody_is_attached_to_a_node_that_is_gone(self, bed: Bed) -> None:
        """Attaching to the node of a withdrawn bid raises NodeUnreachable."""
        node = _gone(bed)

        refuses(NodeUnreachable, lambda: bed.shell.attach(node, "true"))

    @states("shell.forward", _FORWARD)
    def test_a_port_of_the_node_can_be_reached(self, bed: Bed) -> None:
        """A free local port, and one that is asked for by number, lead to what listens on the node's loopback."""
        bed.need_commands()
        node = _node(bed)
        with _serving(bed, node) as port:
            with _forwarded(bed, node, port) as local:
                first = _ask(local, b"hello")
                again = _ask(local, b"again")
            wanted = _free_port()
            with _forwarded(bed, node, port, local_port=wanted) as local:
                third = _ask(local, b"by number")

        assert (b"HELLO", b"AGAIN", b"BY NUMBER") == (first, again, third)
        assert wanted == local

    @states("shell.forward", "NodeUnreachable: the node gave no answer.")
    def test_no_port_leads_to_a_node_that_is_gone(self, bed: Bed) -> None:
        """Forwarding to the node of a withdrawn bid raises NodeUnreachable."""
        bed.need_commands()
        node = _gone(bed)

        def enter() -> None:
            with _forwarded(bed, node, 8080):
                pass

        refuses(NodeUnreachable, enter)

    @states("shell.forward", "Conflict: `local_port` is taken on this machine.")
    def test_a_taken_port_is_a_conflict(self, bed: Bed) -> None:
        """Asking for a local port on which something listens raises Conflict."""
        bed.need_commands()
        node = _node(bed)

        def enter(taken: int) -> None:
            with _forwarded(bed, node, 8080, local_port=taken):
                pass

        with socket.create_server((_LOOPBACK, 0)) as listener:
            refuses(Conflict, lambda: enter(listener.getsockname()[1]))

    @states(
        "shell.forward",
        "Unsupported: nothing outside this provider's nodes can connect to them.",
    )
    def test_ports_are_forwarded_or_refused(self, bed: Bed) -> None:
        """A provider that forwards no port raises Unsupported; another yields a local port."""
        bed.need_commands()
        node = _node(bed)
        try:
            with bed.shell.forward(node, 8080) as local:
                assert 0 < local < 65536
        except Unsupported:
            refuses(Unsupported, lambda: bed.shell.forward(node, 8080).__enter__())


def _node(bed: Bed) -> Node:
    return bed.granted()[1].nodes[0]


def _gone(bed: Bed) -> Node:
    bid, allocation = bed.granted()
    bed.market.withdraw(bid.id)
    bed.until("no node held", lambda: not bed.allocation(bid).nodes)
    return allocation.nodes[0]


@contextmanager
def _forwarded(bed: Bed, node: Node, port: int, *, local_port: int = 0) -> Iterator[int]:
    """Forward a port, or skip where this provider can't."""
    try:
        forward = bed.shell.forward(node, port, local_port=local_port)
        local = forward.__enter__()
    except Unsupported:
        bed.lack("forward")
    try:
        yield local
    finally:
        forward.__exit__(None, None, None)


@contextmanager
def _serving(bed: Bed, node: Node) -> Iterator[int]:
    """Run a server on the node, and yield the port it listens on there."""
    with closing(bed.shell.run_many([Call(node=node, line=_SERVER)], timeout_s=120.0)) as events:
        first = next(events)
        assert isinstance(first, NodeOutput), first
        yield int(first.data)


def _ask(port: int, question: bytes) -> bytes:
    with socket.create_connection((_LOOPBACK, port), timeout=30) as connection:
        connection.sendall(question)
        return connection.recv(64)


def _free_port() -> int:
    with socket.create_server((_LOOPBACK, 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
