"""Loopback addresses for nodes: each its own, port 22 where that may be had.

Linux answers on all of 127.0.0.0/8; elsewhere every node is at 127.0.0.1, on a port of its own.
"""

from __future__ import annotations

import errno
import random
import socket
import sys
from collections.abc import Collection

from flow_core.domain.allocation import Address

_SSH = 22
_TRIES = 8
_EVERYWHERE = "127.0.0.1"
_TAKEN = (errno.EADDRINUSE, errno.EACCES, errno.EPERM)
USER = "ubuntu"


def bound(
    node_id: str, *, before: Address | None, taken: Collection[str], port: int = _SSH
) -> tuple[socket.socket, Address]:
    """Return a socket that holds an address for the node but doesn't listen, and the address.

    `before` is the one it had, kept where possible; `taken` are hosts that other nodes have.
    """
    if before is not None:
        # Its fellows know the host, and clients ask for the port anew.
        for wanted in (before.port, 0):
            held = _bound(before.host, wanted)
            if held is not None:
                return held, Address(before.host, held.getsockname()[1], USER)
    hosts = [*_hosts(node_id, taken), _EVERYWHERE]
    for host, wanted in [(host, port) for host in hosts] + [(host, 0) for host in hosts]:
        held = _bound(host, wanted)
        if held is not None:
            return held, Address(host, held.getsockname()[1], USER)
    raise OSError(errno.EADDRNOTAVAIL, "no loopback address is free")


def bound_at(address: Address) -> socket.socket | None:
    """Return a socket that holds exactly this address; None if that can't be had."""
    return _bound(address.host, address.port)


def destination(address: Address) -> str:
    """Write an address as the service writes where an instance answers: a host, or host:port."""
    return address.host if address.port == _SSH else f"{address.host}:{address.port}"


def _hosts(node_id: str, taken: Collection[str]) -> list[str]:
    """Return where the node may be: the same places for the same node, but for those that others have."""
    chance = random.Random(node_id)
    found = [
        f"127.{chance.randint(64, 127)}.{chance.randint(0, 255)}.{chance.randint(1, 254)}"
        for _ in range(_TRIES)
    ]
    return [host for host in found if host not in taken]


def _bound(host: str, port: int) -> socket.socket | None:
    held = _Held()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        held.bind((host, port))
        held.claim()
    except OSError as exc:
        held.close()
        if exc.errno in (*_TAKEN, errno.EADDRNOTAVAIL):
            return None
        raise
    return held


class _Held(socket.socket):
    """A bound socket that nobody else of ours can bind beside.

    An address must be free again at once when a node reboots, so it is bound with SO_REUSEADDR; but then Linux lets
    any number of sockets be bound to it until one listens, and the node of one simulator would answer for another's.
    So who binds also claims a name in the abstract namespace, which is this machine's, as loopback is.
    """

    def __init__(self) -> None:
        super().__init__()
        self._name: socket.socket | None = None

    def claim(self) -> None:
        """Claim the address that this is bound to; raises OSError where it is another's."""
        if not sys.platform.startswith("linux"):
            return
        host, port = self.getsockname()
        self._name = socket.socket(socket.AF_UNIX)
        self._name.bind(f"\0flow-node-at-{host}:{port}")

    def close(self) -> None:
        """Give the address back."""
        super().close()
        if self._name is not None:
            self._name.close()
