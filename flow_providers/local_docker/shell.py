"""The shell role: commands, files, terminals and ports of containers, all through the engine."""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, closing
from pathlib import Path

from flow_core.domain.allocation import Node
from flow_core.domain.code import Bundle
from flow_core.ports.shell import Call, Events, NodeExit, NodeLost, NodeOutput
from flow_providers.local_docker.containers import WORKSPACE
from flow_providers.local_docker.execs import Execs, ours
from flow_providers.local_docker.fanout import run_together
from flow_providers.local_docker.forwarding import forwarded

#: Where a node remembers which bundle each of its folders holds.
_KNOWN = '"${FLOW_HOME:-/opt/flow}/uploads"'
_CHUNK = 1 << 20
_LOGIN = "if command -v bash >/dev/null; then exec bash -l; else exec sh -l; fi"


class DockerShell:
    """Implements `ports.shell.RemoteShell`."""

    def __init__(self, execs: Execs) -> None:
        self._execs = execs

    def run_many(self, calls: Sequence[Call], *, timeout_s: float | None = None) -> Events:
        """See `RemoteShell.run_many`."""
        return run_together(self._execs, calls, timeout_s=timeout_s)

    def upload(self, nodes: Collection[Node], bundle: Bundle, *, target: str) -> Events:
        """See `RemoteShell.upload`."""
        place = posixpath.normpath(posixpath.join(WORKSPACE, target))
        line = f"{bundle.digest} {place}"
        known = f"test -d {shlex.quote(place)} && grep -qxF {shlex.quote(line)} {_KNOWN}"
        lacking: list[Node] = []
        checks = [Call(node=node, line=f"{{ {known}; }} 2>/dev/null") for node in nodes]
        with closing(run_together(self._execs, checks, timeout_s=None)) as events:
            for event in events:
                if isinstance(event, NodeExit) and event.code != 0:
                    lacking.append(event.node)
                elif not isinstance(event, NodeOutput):
                    yield event
        # The folder's older line goes first: what breaks off in between is no bundle's.
        forget = f"mkdir -p {_folder(_KNOWN)}; touch {_KNOWN}; "
        forget += f"grep -v {shlex.quote(' ' + place + '$')} {_KNOWN} > {_KNOWN}.new; "
        keep = f"{forget} mv {_KNOWN}.new {_KNOWN}"
        unpack = shlex.join(ours("unpack.py", place))
        store = f"echo {shlex.quote(line)} >> {_KNOWN}"
        calls = [
            Call(node=node, line=f"{keep}; {unpack} && {store}", stdin=_Archive(bundle.location))
            for node in lacking
        ]
        said: dict[str, bytes] = {}
        with closing(run_together(self._execs, calls, timeout_s=None)) as events:
            for event in events:
                if isinstance(event, NodeOutput):
                    said[event.node.id] = said.get(event.node.id, b"") + event.data
                elif isinstance(event, NodeExit) and event.code:
                    words = said.get(event.node.id, b"").decode("utf-8", "replace").strip()
                    yield NodeLost(event.node, words or f"unpacking ended with {event.code}")
                else:
                    yield event

    def attach(self, node: Node, line: str | None = None) -> int:
        """See `RemoteShell.attach`."""
        from flow_providers.local_docker.terminal import attached

        command = ["/bin/sh", "-c", _LOGIN if line is None else line]
        return attached(self._execs, node, command)

    def forward(self, node: Node, port: int, *, local_port: int = 0) -> AbstractContextManager[int]:
        """See `RemoteShell.forward`."""
        return forwarded(self._execs, node, port, local_port=local_port)


class _Archive:
    """A file's bytes in pieces, from the beginning each time."""

    def __init__(self, location: str) -> None:
        self._location = location

    def __iter__(self) -> Iterator[bytes]:
        with Path(self._location).open("rb") as stream:
            while piece := stream.read(_CHUNK):
                yield piece


def _folder(path: str) -> str:
    return path.replace("/uploads", "")
