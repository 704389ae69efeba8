"""A loopback port of this machine whose connections go on to a port of a container's own loopback.

Each connection is carried by a small program in the container, so that a server that listens only to its own machine is
reached too, and it makes no difference where the engine is.
"""

from __future__ import annotations

import socket
import threading
from contextlib import AbstractContextManager, suppress

from flow_adapters.relaying import Hold, carried, relayed
from flow_core.domain.allocation import Node
from flow_core.domain.run import Stream
from flow_core.errors import FlowError
from flow_providers.local_docker.execs import Execs, Started, ours


def forwarded(
    execs: Execs, node: Node, port: int, *, local_port: int = 0
) -> AbstractContextManager[int]:
    """While entered, connections to the yielded port reach `port` on the node.

    Raises:
        Conflict: something listens on `local_port` already.
        NodeUnreachable: the node's container doesn't run.
    """
    execs.check(node)

    def carry(near: socket.socket, hold: Hold) -> None:
        try:
            started = execs.start(node, ours("relay.py", str(port)), reads=True)
        except FlowError:
            return
        back = threading.Thread(target=_carry_in, args=(near, started), daemon=True)
        back.start()
        with suppress(OSError):
            for stream, data in started.wire.frames():
                if stream is Stream.OUT:
                    near.sendall(data)
        with suppress(OSError):
            near.shutdown(socket.SHUT_RDWR)
        started.wire.close()
        back.join()

    return relayed(carry, local_port=local_port)


def _carry_in(near: socket.socket, started: Started) -> None:
    with suppress(OSError):
        for data in carried(near):
            started.wire.plug.sendall(data)
    with suppress(OSError):
        started.wire.end_input()
