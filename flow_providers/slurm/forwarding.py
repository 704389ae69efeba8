"""A loopback port of this machine, joined to a port of a node's own loopback: each connection is a step of its own."""

from __future__ import annotations

import contextlib
import errno
import shlex
import socket
import threading
from collections.abc import Iterator

from flow_core.domain.allocation import Node
from flow_core.domain.run import Stream
from flow_core.errors import Conflict
from flow_core.ports.shell import Call, NodeOutput, RemoteShell

_LOOPBACK = "127.0.0.1"
_PIECE = 65_536
#: Joins standard streams to a port. Python 3.8.
_RELAY = """
import os, socket, sys, threading
plug = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
def carry():
    while True:
        data = os.read(0, 65536)
        if not data:
            return plug.shutdown(socket.SHUT_WR)
        plug.sendall(data)
threading.Thread(target=carry, daemon=True).start()
while True:
    data = plug.recv(65536)
    if not data:
        break
    while data:
        data = data[os.write(1, data):]
"""


@contextlib.contextmanager
def forwarded(shell: RemoteShell, node: Node, port: int, *, local_port: int = 0) -> Iterator[int]:
    """While entered, connections to the yielded port reach `port` on the node.

    Raises:
        Conflict: something listens on `local_port` already.
    """
    try:
        listener = socket.create_server((_LOOPBACK, local_port))
    except OSError as exc:
        if exc.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        raise Conflict(
            f"port {local_port} of this machine is taken", hint="name another, or 0 for a free one"
        ) from exc
    relay = _Relay(shell, node, port, listener)
    with listener:
        thread = threading.Thread(target=relay.accept, daemon=True)
        thread.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            relay.close()
            thread.join()


class _Relay:
    def __init__(self, shell: RemoteShell, node: Node, port: int, listener: socket.socket) -> None:
        self._shell = shell
        self._call_line = f'exec "${{FLOW_PYTHON:-python3}}" -c {shlex.quote(_RELAY)} {port}'
        self._node = node
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
        """End all connections, and the steps that carry them."""
        for each in [self._listener, *self._open]:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in list(self._threads):
            thread.join()

    def _carry(self, near: socket.socket) -> None:
        with near:
            call = Call(node=self._node, line=self._call_line, stdin=_heard(near))
            with contextlib.closing(self._shell.run_many([call])) as events:
                for event in events:
                    if isinstance(event, NodeOutput) and event.stream is Stream.OUT:
                        try:
                            near.sendall(event.data)
                        except OSError:
                            break
            with contextlib.suppress(OSError):
                near.shutdown(socket.SHUT_RDWR)


def _heard(near: socket.socket) -> Iterator[bytes]:
    """Yield what comes from the near side, until it has ended."""
    with contextlib.suppress(OSError):
        while data := near.recv(_PIECE):
            yield data
