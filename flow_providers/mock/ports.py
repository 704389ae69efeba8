"""A loopback port whose connections go on to another port of this machine."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

from flow_adapters.relaying import LOOPBACK, Hold, carried, relayed


@contextlib.contextmanager
def forwarded(port: int, *, local_port: int = 0) -> Iterator[int]:
    """While entered, connections to the yielded port reach `port`; the same number is reached without our help.

    Raises:
        Conflict: something listens on `local_port` already.
    """
    if local_port == port:
        yield port
        return

    def carry(near: socket.socket, hold: Hold) -> None:
        try:
            far = socket.create_connection((LOOPBACK, port))
        except OSError:
            return
        with far:
            hold(far)
            back = threading.Thread(target=_carry, args=(far, near), daemon=True)
            back.start()
            _carry(near, far)
            back.join()

    with relayed(carry, local_port=local_port) as found:
        yield found


def _carry(source: socket.socket, sink: socket.socket) -> None:
    """Carry bytes until `source` ends, then tell `sink` so; the other direction may go on."""
    with contextlib.suppress(OSError):
        for data in carried(source):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
