"""A snapshot of files on its way to a node: the node is asked first whether it has it, then given the archive.

The other end is `unpack.py`, which is sent along as text. It answers `send` when it wants the archive, so a snapshot
that is there already costs one exchange and no archive.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path

from flow_adapters.ssh.session import Feed
from flow_adapters.ssh.sink import Sink
from flow_adapters.ssh.targets import Target
from flow_core.domain.allocation import Node
from flow_core.domain.code import Bundle
from flow_core.domain.run import Stream
from flow_core.ports.shell import NodeEvent, NodeExit, NodeLost

_WANTED = b"send\n"
_PIECE = 256 << 10
_TAIL = 2_000
#: First bytes of an archive -> what tar needs to be told.
_COMPRESSIONS = {b"\x1f\x8b": "-z", b"\x28\xb5\x2f\xfd": "--zstd", b"BZh": "-j", b"\xfd7zXZ": "-J"}


def upload_line(bundle: Bundle, *, target: str) -> str:
    """Return the line that makes a node hold the bundle's files in `target`; its input is the archive."""
    archive = Path(bundle.location)
    try:
        size = archive.stat().st_size
        with archive.open("rb") as file:
            start = file.read(8)
    except OSError:
        size, start = (
            -1,
            b"",
        )  # no harm where the node has the files already; else told when it asks
    how = next((how for magic, how in _COMPRESSIONS.items() if start.startswith(magic)), "")
    script = (resources.files("flow_adapters.ssh") / "unpack.py").read_text("utf-8")
    words = ["-c", script, target, bundle.digest, str(size), how]
    return f'exec "${{FLOW_PYTHON:-python3}}" {shlex.join(words)}'


class UploadJob:
    """One node's share of an upload; a `fanout.Job`."""

    def __init__(
        self, node: Node, target: Target, line: str, sudo: Sequence[str], bundle: Bundle
    ) -> None:
        self.sudo = sudo
        self.node = node
        self.target = target
        self.line = line
        self._archive = Path(bundle.location)
        self._wanted: asyncio.Event | None = None
        self._said = b""
        self._complaint = b""

    def feed(self) -> Feed:
        """See `Job.feed`."""
        self._wanted = asyncio.Event()
        return self._pieces(self._wanted)

    def take(self, sink: Sink, stream: Stream, data: bytes, resume: Callable[[], None]) -> bool:
        """See `Job.take`."""
        if stream is Stream.ERR:
            self._complaint = (self._complaint + data)[-_TAIL:]
            return True
        self._said = (self._said + data)[-_TAIL:]
        if self._wanted is not None and self._said.endswith(_WANTED):
            self._wanted.set()
        return True

    def last(self, code: int) -> NodeEvent:
        """See `Job.last`."""
        if code == 0:
            return NodeExit(self.node, 0)
        lines = self._complaint.decode("utf-8", "replace").strip().splitlines()
        why = lines[-1] if lines else "it said nothing about why"
        return NodeLost(self.node, f"the files were not unpacked ({code}): {why}")

    async def _pieces(self, wanted: asyncio.Event) -> Feed:
        await wanted.wait()
        with self._archive.open("rb") as file:
            while piece := file.read(_PIECE):
                yield piece
