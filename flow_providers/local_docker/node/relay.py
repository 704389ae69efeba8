"""Joins its standard streams to a port of the node's loopback: `relay.py PORT`. Python 3.8, standard library only."""

import os
import socket
import sys
import threading


def main() -> None:
    """Carry bytes both ways until both have ended."""
    try:
        plug = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    except OSError:
        sys.exit(1)
    threading.Thread(target=carry_in, args=(plug,), daemon=True).start()
    while True:
        data = plug.recv(65536)
        if not data:
            return
        while data:
            data = data[os.write(1, data) :]


def carry_in(plug: socket.socket) -> None:
    """Carry what comes from our side, and tell of its end."""
    while True:
        data = os.read(0, 65536)
        if not data:
            plug.shutdown(socket.SHUT_WR)
            return
        plug.sendall(data)


main()
