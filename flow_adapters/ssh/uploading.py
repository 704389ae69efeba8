"""A snapshot of files on its way to nodes: each is asked what it has of it, and sent what it lacks.

The other end is `unpack.py`, which is sent along as text; it says how the two talk. A snapshot that is there already
costs one exchange and no archive. Where several nodes lack the same and can reach each other, the first to ask is sent
it and keeps a copy until the others have had it from there; whoever can't have it so is sent it from here after all.
One that is still being packed goes as it is written to whoever lacks all of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from attrs import define, field

from flow_adapters.archives import opened
from flow_adapters.deltas import Delta, Deltas
from flow_adapters.ssh.feeding import fed
from flow_adapters.ssh.reasons import Lost
from flow_adapters.ssh.session import Feed
from flow_adapters.ssh.sink import Sink
from flow_adapters.ssh.targets import Target
from flow_adapters.ssh.upload_talk import Talk, framed, head_of, tail_of
from flow_core.domain.allocation import Node
from flow_core.domain.code import Bundle
from flow_core.domain.run import Stream
from flow_core.errors import FlowError
from flow_core.ports.code import Packing
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

    def __init__(self, bundle: Bundle | Packing, nodes: Collection[Node]) -> None:
        self._bundle = bundle
        self._deltas: Deltas | None = None
        self._are_many = len(nodes) > 1
        self._sources: dict[Delta | None, _Source] = {}

    async def lacking(self, has: str, dirty: Collection[str]) -> Delta | None:
        """Return what a node lacks; None is all of what is still being packed.

        Raises:
            Lost: packing failed.
        """
        packing = self._bundle
        if not (has or isinstance(packing, Bundle) or packing.is_done):
            return None
        archive = Path((await self.taken()).location)
        if self._deltas is None:
            self._deltas = Deltas(archive)
        return self._deltas.since(has, dirty)

    async def taken(self) -> Bundle:
        """Return the snapshot once it is taken.

        Raises:
            Lost: packing failed.
        """
        if isinstance(self._bundle, Bundle):
            return self._bundle
        try:
            return await asyncio.to_thread(self._bundle.taken)
        except FlowError as error:
            raise Lost(error.message) from error

    async def pieces(self, delta: Delta | None) -> Feed:
        """Yield the bytes of what a node lacks."""
        if delta is None:
            assert not isinstance(self._bundle, Bundle)
            async for piece in fed(map(framed, self._bundle.pieces())):
                yield piece
            yield framed(b"")
            return
        with opened(Path((await self.taken()).location)) as archive:
            for piece in delta.pieces(archive):
                yield piece

    def source(self, delta: Delta | None, node: Node) -> _Source | None:
        """Return who keeps a copy of `delta` for fellows: another node, or `node` itself from now on."""
        if not self._are_many or (delta is not None and delta.size < WORTH_SHARING):
            return None
        source = self._sources.get(_shared(delta))
        if source is None:
            future: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
            source = self._sources[_shared(delta)] = _Source(node, future)
        return source

    def forget(self, delta: Delta | None, source: _Source) -> None:
        """Have nobody else ask this source, which is about to drop its copy."""
        if self._sources.get(_shared(delta)) is source:
            del self._sources[_shared(delta)]
        if not source.path.done():
            source.path.set_result(None)


def _shared(delta: Delta | None) -> Delta | None:
    """Return by what a copy is known: all of a snapshot is the same whether it was packed before it was asked for."""
    return delta if delta is not None and delta.completes else None


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
        upload, state = self._upload, await said.get()
        if state["has"] and state["has"] == (await upload.taken()).digest:
            yield tail_of(await upload.taken())
            return
        delta = await upload.lacking(state["has"], state["dirty"])
        source = upload.source(delta, self.node) if state["way"] else None
        if source is None:
            yield head_of(delta)
            async for piece in upload.pieces(delta):
                yield piece
            yield tail_of(await upload.taken())
        elif source.node is self.node:
            async for piece in self._shared(delta, source, said):
                yield piece
        else:
            async for piece in self._taken(delta, source, said):
                yield piece
            yield tail_of(await upload.taken())

    async def _shared(
        self, delta: Delta | None, source: _Source, said: asyncio.Queue[dict[str, Any]]
    ) -> Feed:
        """Send the bytes, then wait with the end until fellows have had theirs from this node."""
        upload = self._upload
        try:
            yield head_of(delta, keep=True)
            async for piece in upload.pieces(delta):
                yield piece
            yield tail_of(await upload.taken())
            kept = await said.get()
            source.path.set_result(str(kept["kept"]))
            if source.takers:
                await source.is_left.wait()
        finally:
            upload.forget(delta, source)

    async def _taken(
        self, delta: Delta | None, source: _Source, said: asyncio.Queue[dict[str, Any]]
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
        async for piece in self._upload.pieces(delta):
            yield piece
