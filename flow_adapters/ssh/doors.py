"""Where a client of OpenSSH's that has uploaded lets those that come after it share its connection, for a while.

A call takes its place: the session that it has is one that nobody has to log in for.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from flow_core.domain.allocation import Node

if TYPE_CHECKING:
    from tempfile import TemporaryDirectory

    from flow_adapters.ssh.piped import Client


class Doors:
    """One door, to the node that was uploaded to first. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._folder: TemporaryDirectory[str] | None = None
        self._behind = ""
        self._holder: Client | None = None

    def open(self, node: Node) -> bool:
        """Make a place for a door to `node`, in a folder that is nobody else's; False where there is one already."""
        import tempfile

        with self._lock:
            if self._folder is not None:
                return False
            self._folder = tempfile.TemporaryDirectory(prefix="flow-", ignore_cleanup_errors=True)
            self._behind = node.id
        return True

    def to(self, node: Node) -> Path | None:
        """Return where the door to `node` is, or may be soon."""
        folder = self._folder
        return Path(folder.name, "door") if folder is not None and self._behind == node.id else None

    def hold(self, client: Client) -> None:
        """Have this client keep the door."""
        self._holder = client

    def taken(self, node: Node) -> Client | None:
        """Return the client that waits behind the door to `node`, which is the caller's from now on."""
        with self._lock:
            holder = self._holder
            if holder is None or self._behind != node.id or holder.has_ended:
                return None
            self._holder = None
        return holder

    def close(self) -> None:
        """Let nobody through any more; who went through goes on."""
        with self._lock:
            holder, self._holder = self._holder, None
            folder, self._folder = self._folder, None
        if holder is not None:
            holder.leave()
        if folder is not None:
            folder.cleanup()
