"""A loopback port of this machine, joined to a port of a node's own loopback: each connection is a step of its own."""

from __future__ import annotations

import shlex
import socket
from contextlib import AbstractContextManager, closing, suppress

from flow_adapters.relaying import Hold, carried, relayed
from flow_core.domain.allocation import Node
from flow_core.domain.run import Stream
from flow_core.ports.shell import Call, NodeOutput, RemoteShell

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


def forwarded(
    shell: RemoteShell, node: Node, port: int, *, local_port: int = 0
) -> AbstractContextManager[int]:
    """While entered, connections to the yielded port reach `port` on the node.

    Raises:
        Conflict: something listens on `local_port` already.
    """
    line = f'exec "${{FLOW_PYTHON:-python3}}" -c {shlex.quote(_RELAY)} {port}'

    def carry(near: socket.socket, hold: Hold) -> None:
        call = Call(node=node, line=line, stdin=carried(near))
        with closing(shell.run_many([call])) as events, suppress(OSError):
            for event in events:
                if isinstance(event, NodeOutput) and event.stream is Stream.OUT:
                    near.sendall(event.data)

    return relayed(carry, local_port=local_port)
