"""A snapshot of files on its way to nodes: each is asked what it has of it, and sent what it lacks.

The other end is `unpack.py`, which is sent along as text; it says how the two talk. A snapshot that is there already
costs one exchange and no archive. Where several nodes lack the same and can reach each other, the first to ask is sent
it and keeps a copy until the others have had it from there; whoever can't have it so is sent it from here after all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import IO, Any

from attrs import define, field

from flow_adapters.deltas import Delta, Deltas
from flow_adapters.ssh.session import Feed
from flow_adapters.ssh.sink import Sink
from flow_adapters.ssh.targets import Target
from flow_adapters.ssh.upload_talk import Talk, head_of
from flow_core.domain.allocation import Node
from flow_core.domain.code import Bundle
from flow_core.domain.run import Stream
from flow_core.ports.shell import NodeEvent, NodeOutput

#: Less than this is sent to each node from here: asking a fellow takes longer.
WORTH_SHARING = 1 << 20


def fellow_name(node: Node) -> str:
    """Return what the other nodes of its task call a node, besides its address."""
    return f"node-{node.rank}"


@define(eq=False)
class _Source:
    """A node that keeps a copy for fellows: where, once that is known, and for how many."""

    node: Node
    path: asyncio.Future[str | None]
    takers: int = 0
    is_left: asyncio.Event = field(factory=asyncio.Event)

    def leave(self) -> None:
        """Have one taker fewer."""
        self.takers -= 1
        if not self.takers:
            self.is_left.set()


class Upload:
    """One snapshot for some nodes: what each lacks of it, and who has it from whom."""

    def __init__(self, bundle: Bundle, nodes: Collection[Node]) -> None:
        self.archive = Path(bundle.location)
        self.deltas = Deltas(self.archive)
        self._are_many = len(nodes) > 1
        self._sources: dict[Delta, _Source] = {}

    def source(self, delta: Delta, node: Node) -> _Source | None:
        """Return who keeps a copy of `delta` for fellows: another node, or `node` itself from now on."""
        if not self._are_many or delta.size < WORTH_SHARING:
            return None
        source = self._sources.get(delta)
        if source is None:
            future: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
            source = self._sources[delta] = _Source(node, future)
        return source

    def forget(self, delta: Delta, source: _Source) -> None:
        """Have nobody else ask this source, which is about to drop its copy."""
        if self._sources.get(delta) is source:
            del self._sources[delta]
        if not source.path.done():
            source.path.set_result(None)


class UploadJob:
    """One node's share of an upload; a `fanout.Job`."""

    def __init__(
        self, node: Node, target: Target, line: str, sudo: Sequence[str], upload: Upload
    ) -> None:
        self.sudo = sudo
        self.node = node
        self.target = target
        self.line = line
        self._upload = upload
        self._said: asyncio.Queue[dict[str, Any]] | None = None
        self._talk = Talk()
        self._sink: Sink | None = None

    def feed(self) -> Feed:
        """See `Job.feed`."""
        self._said = asyncio.Queue()
        return self._pieces(self._said)

    def take(self, sink: Sink, stream: Stream, data: bytes, resume: Callable[[], None]) -> bool:
        """See `Job.take`."""
        self._sink = sink
        for each in self._talk.take(stream, data):
            if self._said is not None:
                self._said.put_nowait(each)
        return True

    def last(self, code: int) -> NodeEvent:
        """See `Job.last`."""
        return self._talk.last(self.node, code)

    async def _pieces(self, said: asyncio.Queue[dict[str, Any]]) -> Feed:
        state = await said.get()
        delta = self._upload.deltas.since(state["has"], state["dirty"])
        with self._upload.archive.open("rb") as archive:
            source = self._upload.source(delta, self.node) if state["way"] else None
            if source is None:
                yield head_of(delta)
                async for piece in _bytes_of(archive, delta):
                    yield piece
            elif source.node is self.node:
                async for piece in self._shared(archive, delta, source, said):
                    yield piece
            else:
                async for piece in self._taken(archive, delta, source, said):
                    yield piece

    async def _shared(
        self,
        archive: IO[bytes],
        delta: Delta,
        source: _Source,
        said: asyncio.Queue[dict[str, Any]],
    ) -> Feed:
        """Send the bytes, then wait with the end until fellows have had theirs from this node."""
        try:
            yield head_of(delta, keep=True)
            async for piece in _bytes_of(archive, delta):
                yield piece
            kept = await said.get()
            source.path.set_result(str(kept["kept"]))
            if source.takers:
                await source.is_left.wait()
        finally:
            self._upload.forget(delta, source)

    async def _taken(
        self,
        archive: IO[bytes],
        delta: Delta,
        source: _Source,
        said: asyncio.Queue[dict[str, Any]],
    ) -> Feed:
        """Have the node take the bytes from a fellow; send them where it can't."""
        source.takers += 1
        try:
            path = await asyncio.shield(source.path)
            if path is None:
                yield head_of(delta)
            else:
                yield head_of(delta, fellow=fellow_name(source.node), path=path)
                came = await said.get()
                if came.get("got"):
                    return
                why = (
                    f"it could not have the files from node {source.node.rank}: {came.get('again')}"
                )
                if self._sink is not None:
                    self._sink.put(NodeOutput(self.node, Stream.ERR, f"{why}\n".encode()))
        finally:
            source.leave()
        async for piece in _bytes_of(archive, delta):
            yield piece


async def _bytes_of(archive: IO[bytes], delta: Delta) -> Feed:
    for piece in delta.pieces(archive):
        yield piece
