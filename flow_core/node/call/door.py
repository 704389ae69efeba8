"""The command of a talk: passes its own input and output on to the worker, and stays until the talk's server ends.

Python 3.8, standard library only.
"""

from __future__ import annotations

import array
import os
import socket
import sys
import time

from flow_core.node.node_store import HOME

#: Real seconds in which the worker must open, after its environment was made.
PATIENCE_S = 600
#: The server died and the worker lives; otherwise the node is going.
DIED = 70


def door() -> None:
    """Hand descriptors 0 and 1 over; end when the server has, with DIED where the worker outlives it."""
    os.chdir(HOME)
    until = time.monotonic() + PATIENCE_S
    while True:
        worker = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            worker.connect("calls.sock")
            break
        except OSError as error:
            worker.close()
            if time.monotonic() > until:
                sys.exit("flow: the worker doesn't open: %s" % error)
            time.sleep(0.05)
    rights = array.array("i", [0, 1])
    worker.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights.tobytes())])
    empty = os.open(os.devnull, os.O_RDWR)
    os.dup2(empty, 0)
    os.dup2(empty, 1)
    try:
        worker.recv(1)
    except OSError:
        pass
    worker.close()
    time.sleep(0.3)  # a node that is being stopped ends its processes one after the other
    again = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        again.connect("calls.sock")
    except OSError:
        sys.exit(1)
    sys.exit(DIED)
