"""The shell role over nodes in memory: the node helper's verbs work, other commands end with 0 at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from flow_core.domain.allocation import Node
from flow_core.domain.code import Bundle
from flow_core.domain.node_files import ASKS_LOG
from flow_core.domain.run import Stream
from flow_core.errors import Conflict, NodeUnreachable
from flow_core.ports.code import Packing, whole
from flow_core.ports.shell import Call, Events, NodeExit, NodeLost, NodeOutput
from flow_providers.mock.memory_nodes import MemoryNodes

_HELPER = re.compile(r"flow-node\"?\s+(?P<verb>deliver|report|stop)\b")

#: A told command: what it is given on stdin -> its exit code and what it prints.
Answer = Callable[[Call], "tuple[int, bytes]"]


class MemoryShell:
    """Implements `ports.shell.RemoteShell`; `uploads` tells what was brought where."""

    def __init__(self, nodes: MemoryNodes) -> None:
        self._nodes = nodes
        self._answers: dict[str, Answer] = {}
        self.uploads: list[tuple[str, str, str]] = []

    def tell(self, line: str, answer: Answer) -> None:
        """Have calls of exactly this line answered so."""
        self._answers[line] = answer

    def run_many(self, calls: Sequence[Call], *, timeout_s: float | None = None) -> Events:
        """See `RemoteShell.run_many`."""
        for call in calls:
            yield from self._run(call)

    def upload(self, nodes: Collection[Node], bundle: Bundle | Packing, *, target: str) -> Events:
        """See `RemoteShell.upload`; nothing is copied, for there is no disk."""
        digest = whole(bundle).digest
        for node in nodes:
            if not self._nodes.is_up(node.id):
                yield NodeLost(node, "the node is not up")
                continue
            brought = (node.id, digest, target)
            if brought not in self.uploads:
                self.uploads.append(brought)
            yield NodeExit(node, 0)

    def attach(self, node: Node, line: str | None = None) -> int:
        """See `RemoteShell.attach`; nothing is shown."""
        if not self._nodes.is_up(node.id):
            raise NodeUnreachable(f"node {node.rank} is not up")
        return 0

    def forward(self, node: Node, port: int, *, local_port: int = 0) -> AbstractContextManager[int]:
        """Refuse: nothing listens on a node in memory."""
        if not self._nodes.is_up(node.id):
            raise NodeUnreachable(f"node {node.rank} is not up")
        return _nowhere(port)

    def _run(self, call: Call) -> Events:
        node = call.node
        if not self._nodes.is_up(node.id):
            yield NodeLost(node, "the node is not up")
            return
        helper, asked = _HELPER.search(call.line), ASKS_LOG.search(call.line)
        if helper is not None:
            code, said = self._help(node, helper["verb"], b"".join(call.pieces()))
        elif asked is not None:
            offset, limit = int(asked["offset"]), int(asked["limit"])
            code, said = 0, self._nodes.log_answer(node.id, offset=offset, limit=limit)
        elif call.line in self._answers:
            code, said = self._answers[call.line](call)
        else:
            code, said = 0, b""
            yield NodeOutput(
                node, Stream.ERR, b"flow: nodes in memory run nothing; this ends with 0\n"
            )
        if said:
            yield NodeOutput(node, Stream.OUT, said)
        yield NodeExit(node, code)

    def _help(self, node: Node, verb: str, stdin: bytes) -> tuple[int, bytes]:
        if verb == "deliver":
            return self._nodes.deliver(node.id, stdin), b""
        if verb == "stop":
            return self._nodes.end(node.id), b""
        if verb == "report":
            return 0, self._nodes.state(node.id).encode() + b"\n"
        return 0, b""


@contextmanager
def _nowhere(port: int) -> Iterator[int]:
    raise Conflict(
        f"nothing listens on port {port} of a node in memory",
        hint="`--provider mock` runs real processes",
    )
    yield 0
