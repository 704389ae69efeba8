"""The shell role: commands, files, terminals and ports of containers, all through the engine."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from flow_core.domain.allocation import Node
from flow_core.domain.code import Bundle
from flow_core.domain.node_files import NODE_HELPER
from flow_core.errors import FlowError
from flow_core.ports.code import Packing, whole
from flow_core.ports.shell import Call, Events, NodeEvent, NodeExit, NodeLost
from flow_providers.local_docker.execs import Execs, Started
from flow_providers.local_docker.facts import WORKSPACE
from flow_providers.local_docker.talks import Talks

if TYPE_CHECKING:
    from flow_adapters.deltas import Delta, Deltas

_DELIVER = f"{NODE_HELPER} deliver"
_Given = TypeVar("_Given")
_LOGIN = "if command -v bash >/dev/null; then exec bash -l; else exec sh -l; fi"


class DockerShell:
    """Implements `ports.shell.RemoteShell`."""

    def __init__(self, execs: Execs, talks: Talks) -> None:
        self._execs = execs
        self._talks = talks

    def run_many(self, calls: Sequence[Call], *, timeout_s: float | None = None) -> Events:
        """See `RemoteShell.run_many`."""
        if calls and all(call.line == _DELIVER for call in calls):
            return self._on_each(calls, self._delivered)
        from flow_providers.local_docker.fanout import run_together

        return run_together(self._execs, calls, begin=self._begun, timeout_s=timeout_s)

    def upload(self, nodes: Collection[Node], bundle: Bundle | Packing, *, target: str) -> Events:
        """See `RemoteShell.upload`."""
        place = posixpath.normpath(posixpath.join(WORKSPACE, target))
        packed = whole(bundle)
        yield from self._on_each(nodes, lambda node: self._unpacked(node, packed, place))

    def attach(self, node: Node, line: str | None = None) -> int:
        """See `RemoteShell.attach`."""
        from flow_providers.local_docker.terminal import attached

        command = ["/bin/sh", "-c", _LOGIN if line is None else line]
        return attached(self._execs, node, command)

    def forward(self, node: Node, port: int, *, local_port: int = 0) -> AbstractContextManager[int]:
        """See `RemoteShell.forward`."""
        from flow_providers.local_docker.forwarding import forwarded

        return forwarded(self._execs, node, port, local_port=local_port)

    def _on_each(self, given: Collection[_Given], act: Callable[[_Given], NodeEvent]) -> Events:
        if len(given) == 1:  # a dev box's, and somebody waits
            yield from map(act, given)
            return
        from flow_adapters.at_once import at_once

        yield from at_once(act, given)

    def _begun(self, call: Call) -> Started:
        """Start a call; a lone one in the place of the conversation that there is, for that takes no time."""
        is_simple = call.lone and call.stdin == b""
        started = self._talks.become(call.node, call.line) if is_simple else None
        if started is not None:
            return started
        return self._execs.start(call.node, ["/bin/sh", "-c", call.line], reads=call.stdin != b"")

    def _delivered(self, call: Call) -> NodeEvent:
        """Give a node its delivery in the conversation that there is: starting its helper for it takes longer."""
        try:
            given = b"".join(call.pieces())
            head, _ = self._talks.ask(call.node, f"deliver {len(given)}", [given])
        except FlowError as error:
            return NodeLost(call.node, error.message)
        if head["code"] == 1:
            return NodeLost(call.node, f"it could not take its delivery: {head['said']}")
        return NodeExit(call.node, head["code"])

    def _unpacked(self, node: Node, bundle: Bundle, place: str) -> NodeEvent:
        from flow_adapters.deltas import Deltas

        head: dict[str, Any]
        told: dict[str, object] = {"target": place, "digest": bundle.digest}
        deltas = Deltas(Path(bundle.location))
        try:
            if self._talks.is_fresh(node):  # it is made just now, and has nothing
                head = {"known": False, "has": "", "dirty": ()}
            else:
                head, _ = self._talks.ask(node, f"known {json.dumps(told)}", _foreseeing(deltas))
            if not head["known"]:
                delta = deltas.since(head["has"], head["dirty"])
                words = f"unpack {json.dumps({**told, **delta.head})}"
                head, _ = self._talks.ask(node, words, Sent(deltas.archive, delta))
        except FlowError as error:
            return NodeLost(node, error.message)
        except OSError as error:
            return NodeLost(node, f"{error.filename}: {error.strerror}")
        return NodeLost(node, head["lost"]) if head.get("lost") else NodeExit(node, 0)


def _foreseeing(deltas: Deltas) -> Iterator[bytes]:
    """Give nothing, but use the time before the answer."""
    deltas.foresee()
    yield from ()


class Sent:
    """What is sent of an archive, in pieces, from the beginning each time."""

    def __init__(self, archive: Path, delta: Delta) -> None:
        self._archive = archive
        self._delta = delta

    def __iter__(self) -> Iterator[bytes]:
        """Read it."""
        with self._archive.open("rb") as stream:
            yield from self._delta.pieces(stream)
