"""A loopback port of this machine whose connections are carried elsewhere, each by a thread of its own."""

from __future__ import annotations

import contextlib
import errno
import socket
import threading
from collections.abc import Callable, Iterator

from flow_core.errors import Conflict

LOOPBACK = "127.0.0.1"
PIECE = 65_536

#: Called with another socket, has it end when the relay does, as the connection itself.
Hold = Callable[[socket.socket], None]
#: Carries one connection until it has ended; it is closed afterwards.
Carry = Callable[[socket.socket, Hold], None]


@contextlib.contextmanager
def relayed(carry: Carry, *, local_port: int = 0) -> Iterator[int]:
    """While entered, connections to the yielded port are carried; on leaving all end, and what carried them has.

    Raises:
        Conflict: something listens on `local_port` already.
    """
    try:
        listener = socket.create_server((LOOPBACK, local_port))
    except OSError as exc:
        if exc.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        raise Conflict(
            f"port {local_port} of this machine is taken", hint="name another, or 0 for a free one"
        ) from exc
    relay = _Relay(listener, carry)
    with listener:
        thread = threading.Thread(target=relay.accept, daemon=True)
        thread.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            relay.close()
            thread.join()


def carried(source: socket.socket) -> Iterator[bytes]:
    """Yield what comes from a socket until it has ended, however it did."""
    with contextlib.suppress(OSError):
        while data := source.recv(PIECE):
            yield data


class _Relay:
    def __init__(self, listener: socket.socket, carry: Carry) -> None:
        self._listener = listener
        self._carry = carry
        self._lock = threading.Lock()
        self._is_closed = False
        self._open: set[socket.socket] = set()
        self._threads: set[threading.Thread] = set()

    def accept(self) -> None:
        """Take connections until `close`."""
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(near,), daemon=True)
            with self._lock:
                self._threads.add(thread)
            thread.start()

    def close(self) -> None:
        """End all connections, and wait for what carries them."""
        with self._lock:
            self._is_closed = True
            ending, threads = [self._listener, *self._open], list(self._threads)
        for each in ending:
            _end(each)
        for thread in threads:
            thread.join()

    def _serve(self, near: socket.socket) -> None:
        held: list[socket.socket] = []

        def hold(each: socket.socket) -> None:
            with self._lock:
                held.append(each)
                self._open.add(each)
                is_late = self._is_closed
            if is_late:
                _end(each)

        try:
            with near:
                hold(near)
                self._carry(near, hold)
                with contextlib.suppress(OSError):
                    near.shutdown(socket.SHUT_RDWR)
        finally:
            with self._lock:
                self._open.difference_update(held)
                self._threads.discard(threading.current_thread())


def _end(each: socket.socket) -> None:
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
