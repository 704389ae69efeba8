"""A loopback port of this machine whose connections go on to a port of a container's own loopback.

Each connection is carried by a small program in the container, so that a server that listens only to its own machine is
reached too, and it makes no difference where the engine is.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import threading
from collections.abc import Iterator

from flow_core.domain.allocation import Node
from flow_core.domain.run import Stream
from flow_core.errors import Conflict, FlowError
from flow_providers.local_docker.execs import Execs, Started, ours

_LOOPBACK = "127.0.0.1"


@contextlib.contextmanager
def forwarded(execs: Execs, node: Node, port: int, *, local_port: int = 0) -> Iterator[int]:
    """While entered, connections to the yielded port reach `port` on the node.

    Raises:
        Conflict: something listens on `local_port` already.
        NodeUnreachable: the node's container doesn't run.
    """
    execs.check(node)
    try:
        listener = socket.create_server((_LOOPBACK, local_port))
    except OSError as exc:
        if exc.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        raise Conflict(
            f"port {local_port} of this machine is taken", hint="name another, or 0 for a free one"
        ) from exc
    relay = _Relay(execs, node, port, listener)
    with listener:
        thread = threading.Thread(target=relay.accept, daemon=True)
        thread.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            relay.close()
            thread.join()


class _Relay:
    def __init__(self, execs: Execs, node: Node, port: int, listener: socket.socket) -> None:
        self._execs = execs
        self._node = node
        self._port = port
        self._listener = listener
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []

    def accept(self) -> None:
        """Take connections until `close`."""
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self._open.add(near)
            thread = threading.Thread(target=self._carry, args=(near,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def close(self) -> None:
        """End all connections, and what carries them in the container."""
        for each in [self._listener, *self._open]:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in list(self._threads):
            thread.join()

    def _carry(self, near: socket.socket) -> None:
        with near:
            try:
                started = self._execs.start(
                    self._node, ours("relay.py", str(self._port)), reads=True
                )
            except FlowError:
                return
            back = threading.Thread(target=_carry_in, args=(near, started), daemon=True)
            back.start()
            with contextlib.suppress(OSError):
                for stream, data in started.wire.frames():
                    if stream is Stream.OUT:
                        near.sendall(data)
            with contextlib.suppress(OSError):
                near.shutdown(socket.SHUT_RDWR)
            started.wire.close()
            back.join()


def _carry_in(near: socket.socket, started: Started) -> None:
    with contextlib.suppress(OSError):
        while data := near.recv(65_536):
            started.wire.plug.sendall(data)
    with contextlib.suppress(OSError):
        started.wire.end_input()
