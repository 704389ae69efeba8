"""Standing conversations with nodes: what their commands said, asked again and again without starting anything anew."""

from __future__ import annotations

import json
import threading
import weakref
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from flow_core.domain.allocation import Node
from flow_core.domain.run import Stream
from flow_core.errors import FlowError, NodeUnreachable
from flow_providers.local_docker.execs import Execs, Started, leaving

#: Seconds that an answer may take; a machine that swaps is slow, a container that is stopped is silent.
_ANSWER_S = 20.0
#: What a container's first process is asked: what is brought to it. The last of that ends the conversation.
_FIRST, _LAST = ("known", "unpack", "deliver"), "deliver"


class Talks:
    """Keeps one conversation a node for as long as this process lives; they end with it. Threads may share it."""

    def __init__(self, execs: Execs) -> None:
        self._execs = execs
        self._lock = threading.Lock()
        self._talks: dict[str, _Talk] = {}
        weakref.finalize(self, _end_all, self._talks)

    def ask(
        self, node: Node, words: str, given: Iterable[bytes] = ()
    ) -> tuple[dict[str, Any], bytes]:
        """Return the node's answer: a head, and the bytes that it describes. `given` follows the words.

        Raises:
            NodeUnreachable: the container doesn't run, or stopped meanwhile.
            Transient: the engine gave no answer.
        """
        with self._lock:
            talk = self._talks.setdefault(node.id, _Talk())
        verb = words.partition(" ")[0]
        with talk.lock:
            if talk.is_first and verb not in _FIRST:
                talk.end()
            # What was begun before the container was restarted is over; then once more, anew.
            is_old = talk.started is not None
            try:
                answer = talk.ask(self._execs, node, words, given)
            except NodeUnreachable:
                if not is_old:
                    raise
                answer = talk.ask(self._execs, node, words, given)
            if talk.is_first and verb == _LAST:
                talk.end()
            return answer

    def become(self, node: Node, line: str) -> Started | None:
        """Have the conversation with the node, if there is one, become a line without input, and return that."""
        with self._lock:
            talk = self._talks.pop(node.id, None)
        if talk is None:
            return None
        with talk.lock:
            return talk.become(self._execs, node, line)

    def join(self, node: Node) -> None:
        """Have what is brought to a node, which is started next, go to its first process, until it has its delivery.

        Where that can't be, as with engines that don't let anyone, it goes as all else does.
        """
        self.end(node.id)
        talk = _Talk()
        with suppress(FlowError):
            talk.join(self._execs, node)
        with self._lock:
            self._talks[node.id] = talk

    def is_open(self, node: Node, *, first: bool = False) -> bool:
        """Whether there is a conversation with the node already, or, `first`, with its first process.

        It may have broken off.
        """
        with self._lock:
            talk = self._talks.get(node.id)
        return talk is not None and talk.started is not None and talk.is_first is first

    def is_fresh(self, node: Node) -> bool:
        """Whether there is a conversation with the node's first process in which nothing was asked yet."""
        with self._lock:
            talk = self._talks.get(node.id)
        return talk is not None and talk.is_first and not talk.has_begun

    def end(self, node_id: str) -> None:
        """End the conversation with a node that goes."""
        with self._lock:
            talk = self._talks.pop(node_id, None)
        if talk is not None:
            with talk.lock:
                talk.end()


def _end_all(talks: dict[str, _Talk]) -> None:
    for talk in talks.values():
        talk.end()


class _Talk:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.started: Started | None = None
        self.is_first = self.has_begun = False
        self._heard = b""

    def ask(
        self, execs: Execs, node: Node, words: str, given: Iterable[bytes]
    ) -> tuple[dict[str, Any], bytes]:
        try:
            if self.started is None:
                self._hold(execs.start(node, leaving("serve.py"), reads=True))
            assert self.started is not None
            self.has_begun = True
            self.started.wire.plug.sendall(words.encode("utf-8", "surrogateescape") + b"\n")
            for piece in given:
                self.started.wire.plug.sendall(piece)
            head: dict[str, Any] = json.loads(self._until(b"\n"))
            while "told" in head:  # between answers, and to everyone
                head = json.loads(self._until(b"\n"))
            return head, self._exactly(int(head.pop("bytes")))
        except (OSError, ValueError, EOFError) as error:
            self.end()
            raise NodeUnreachable(f"node {node.rank} gave no answer") from error
        except FlowError:
            self.end()
            raise

    def become(self, execs: Execs, node: Node, line: str) -> Started | None:
        if self.started is None or self.is_first:
            self.end()
            return None
        try:
            self.ask(execs, node, "leave", ())
            self.started.wire.plug.sendall(line.encode("utf-8", "surrogateescape"))
            self.started.wire.end_input()
            self.started.wire.plug.settimeout(None)
        except (OSError, FlowError):
            self.end()
            return None
        started, self.started = self.started, None
        return started

    def join(self, execs: Execs, node: Node) -> None:
        self._hold(execs.joined(node))
        self.is_first = True

    def end(self) -> None:
        self.is_first = False
        if self.started is not None:
            self.started.wire.close()
            self.started = None

    def _hold(self, started: Started) -> None:
        self._heard = b""
        self.started = started
        self._frames = started.wire.frames()
        started.wire.plug.settimeout(_ANSWER_S)

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._heard:
            self._hear()
        line, _, self._heard = self._heard.partition(mark)
        return line

    def _exactly(self, count: int) -> bytes:
        while len(self._heard) < count:
            self._hear()
        found, self._heard = self._heard[:count], self._heard[count:]
        return found

    def _hear(self) -> None:
        frame = next(self._frames, None)
        if frame is None:
            raise EOFError
        if frame[0] is Stream.OUT:
            self._heard += frame[1]
