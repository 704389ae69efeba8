"""Sockets on their way to nodes while asyncssh loads.

A server that is called starts a process and readies it, which takes it about as long as asyncssh takes to load here. So
whoever is about to talk to nodes has the sockets begin first. One that nobody takes is closed, and costs its node a
line in its own log.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from flow_core.domain.allocation import Node

if TYPE_CHECKING:
    import socket

#: How many connections are made at once.
AT_ONCE = 64
#: What in a user's settings may lead elsewhere than to the address itself. Source: ssh_config(5).
_LEADS = re.compile(rb"(?im)^\s*\"?(proxy|hostname|port|bind|match|include|addressfamily)")


class Early:
    """Sockets that have begun to connect; none where `config`, the user's settings, may say to go another way.

    Threads may share one.
    """

    def __init__(self, config: Path) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._begun: dict[tuple[str, int], list[socket.socket]] = {}

    def begin(self, nodes: Iterable[Node]) -> None:
        """Begin to connect to nodes whose addresses are numbers; what can't begin is left to whoever asks for it."""
        if leads_elsewhere(self._config):
            return
        found = {node.id: node.address for node in nodes if node.address is not None}
        for address in list(found.values())[:AT_ONCE]:
            begun = _begun(address.host, address.port)
            if begun is not None:
                with self._lock:
                    self._begun.setdefault((address.host, address.port), []).append(begun)

    def take(self, host: str, port: int) -> socket.socket | None:
        """Return one that has begun to connect there, if there is; it is the caller's now."""
        with self._lock:
            begun = self._begun.get((host, port))
            return begun.pop(0) if begun else None

    def close(self) -> None:
        """Close those that nobody took."""
        with self._lock:
            left, self._begun = self._begun, {}
        for sockets in left.values():
            for each in sockets:
                each.close()


def leads_elsewhere(config: Path) -> bool:
    """Whether the user's settings may say how an address is reached; a file that can't be read may."""
    try:
        return _LEADS.search(config.read_bytes()) is not None
    except FileNotFoundError:
        return False
    except OSError:
        return True


def _begun(host: str, port: int) -> socket.socket | None:
    import socket  # here, for OpenSSH's client needs none of ours

    try:
        (family, kind, *_, where), *_ = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
        )
        begun = socket.socket(family, kind)
    except OSError:
        return None
    begun.setblocking(False)
    try:
        begun.connect(where)
    except BlockingIOError:
        pass
    except OSError:
        begun.close()
        return None
    return begun
