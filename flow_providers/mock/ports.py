"""A loopback port whose connections go on to another port of this machine."""

from __future__ import annotations

import contextlib
import errno
import socket
import threading
from collections.abc import Iterator

from flow_core.errors import Conflict

_LOOPBACK = "127.0.0.1"


@contextlib.contextmanager
def forwarded(port: int, *, local_port: int = 0) -> Iterator[int]:
    """While entered, connections to the yielded port reach `port`; the same number is reached without our help.

    Raises:
        Conflict: something listens on `local_port` already.
    """
    if local_port == port:
        yield port
        return
    try:
        listener = socket.create_server((_LOOPBACK, local_port))
    except OSError as exc:
        if exc.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        raise Conflict(
            f"port {local_port} of this machine is taken", hint="name another, or 0 for a free one"
        ) from exc
    relay = _Relay(listener, port)
    with listener:
        relay.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            relay.close()


class _Relay:
    """Accepts connections and carries their bytes, two threads a connection."""

    def __init__(self, listener: socket.socket, port: int) -> None:
        self._listener = listener
        self._port = port
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._closed = False
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        self._spawn(self._accept)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            ending = [self._listener, *self._open]
        for each in ending:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self._spawn(self._connect, near)

    def _connect(self, near: socket.socket) -> None:
        with near:
            try:
                far = socket.create_connection((_LOOPBACK, self._port))
            except OSError:
                return
            with far:
                with self._lock:
                    if self._closed:
                        return
                    self._open |= {near, far}
                back = self._spawn(_carry, far, near)
                _carry(near, far)
                back.join()
                with self._lock:
                    self._open -= {near, far}

    def _spawn(self, work: object, *arguments: object) -> threading.Thread:
        thread = threading.Thread(target=work, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()
        return thread


def _carry(source: socket.socket, sink: socket.socket) -> None:
    """Carry bytes until `source` ends, then tell `sink` so; the other direction may go on."""
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
