"""What the room holds once it is open: the connections, the user's keys, and how to reach each node."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from flow_adapters.lean_asyncssh import asyncssh
from flow_adapters.ssh.connections import Connections
from flow_adapters.ssh.early import Early
from flow_adapters.ssh.identities import Ask, Identities
from flow_adapters.ssh.reasons import Lost
from flow_adapters.ssh.room import Room
from flow_adapters.ssh.targets import Target, Targets
from flow_adapters.ssh.trust import KnownNodes
from flow_core.domain.allocation import Node


class Inside:
    """Belongs to one opening of the room; its `target` is for the callers' threads, its connections for the loop."""

    def __init__(
        self,
        room: Room,
        *,
        known: KnownNodes,
        early: Early,
        keys: Sequence[Path],
        ssh_folder: Path,
        ask: Ask | None,
        timeout_s: float,
    ) -> None:
        self.loop = room.loop()
        self._room = room
        self._keys = keys
        self._ssh_folder = ssh_folder
        self._ask = ask
        self._lock = threading.Lock()
        self.connections = room.run(_connections(known, early, timeout_s))
        self._read_keys()

    def target(self, node: Node) -> Target:
        """Return how to reach `node`.

        Raises:
            Lost: it has no address, or the user's own settings for it can't be read.
        """
        if node.address is None:
            raise Lost("it has no address yet")
        # One at a time: nobody wants to be asked for a passphrase twice at once.
        with self._lock:
            if self.connections.refused_keys:
                self.connections.refused_keys = False
                self._read_keys()
            try:
                return self._targets.of(node, self._agent)
            except (ValueError, OSError) as error:
                raise Lost(
                    f"your SSH settings for {node.address} can't be used: {error}"
                ) from error

    def _read_keys(self) -> None:
        self._agent: tuple[asyncssh.SSHKeyPair, ...] = self._room.run(self.connections.agent_keys())
        self._targets = Targets(
            keys=self._keys,
            config=self._ssh_folder / "config",
            identities=Identities(folder=self._ssh_folder, ask=self._ask),
        )


async def _connections(known: KnownNodes, early: Early, timeout_s: float) -> Connections:
    raise_file_limit()
    # Options are made in these; more threads than two only cost memory.
    asyncio.get_running_loop().set_default_executor(_threads())
    return Connections(known=known, early=early, timeout_s=timeout_s)


def raise_file_limit() -> None:
    """Let this process have as many files open as it may: a connection is one, and the usual limit is 1,024."""
    try:
        import resource
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < hard:
        most = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))


def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=2, thread_name_prefix="flow-ssh-options")
