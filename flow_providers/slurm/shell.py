"""The shell role: steps in allocations, files through the shared folder, terminals and ports."""

from __future__ import annotations

import os
import posixpath
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from hashlib import sha256
from pathlib import Path

from flow_core.domain.allocation import Node
from flow_core.domain.bid import BidState
from flow_core.domain.code import Bundle
from flow_core.errors import FlowError, NodeUnreachable, Transient
from flow_core.ports.code import Packing, whole
from flow_core.ports.shell import Call, Events, NodeEvent, NodeExit, NodeLost, NodeOutput
from flow_providers.slurm.catalog import Surveyor
from flow_providers.slurm.estate import Estate
from flow_providers.slurm.fleet import hosts_of
from flow_providers.slurm.forwarding import forwarded
from flow_providers.slurm.steps import Hearing, Place, step_line, terminal_line

_CHUNK = 1 << 20


class SlurmShell:
    """Implements `ports.shell.RemoteShell`."""

    def __init__(self, estate: Estate, surveyor: Surveyor, *, python: str) -> None:
        self._estate = estate
        self._surveyor = surveyor
        self._python = python

    def run_many(self, calls: Sequence[Call], *, timeout_s: float | None = None) -> Events:
        """See `RemoteShell.run_many`."""
        steps, lost = [], []
        for call in calls:
            place = self._place(call.node)
            if isinstance(place, str):
                lost.append(NodeLost(call.node, place))
            else:
                line = step_line(place, call.line, has_input=call.stdin != b"")
                steps.append(Call(node=call.node, line=line, stdin=call.stdin))
        yield from lost
        hearings = {step.node.id: Hearing(step.node) for step in steps}
        with closing(self._estate.login.run_many(steps, timeout_s=timeout_s)) as events:
            for event in events:
                yield from hearings[event.node.id].hear(event)

    def upload(self, nodes: Collection[Node], bundle: Bundle | Packing, *, target: str) -> Events:
        """See `RemoteShell.upload`. A bundle goes to the shared folder once, and is copied there for each node."""
        packed = whole(bundle)
        inside: dict[str, dict[str, Node]] = {}
        for node in nodes:
            place = self._place(node)
            if isinstance(place, str):
                yield NodeLost(node, place)
                continue
            path = posixpath.normpath(posixpath.join(place.workspace, target))
            if f"{path}/".startswith(f"{place.folder}/"):
                inside.setdefault(place.folder, {})[path] = node
            else:
                yield self._carried(node, packed, path)
        for folder, targets in inside.items():
            yield from self._spread(posixpath.basename(folder), packed, targets)

    def attach(self, node: Node, line: str | None = None) -> int:
        """See `RemoteShell.attach`."""
        place = self._reached(node)
        has_terminal = os.isatty(0) and os.isatty(1)
        text = terminal_line(place, line, has_terminal=has_terminal)
        return self._estate.login.attach(node, text)

    def forward(self, node: Node, port: int, *, local_port: int = 0) -> AbstractContextManager[int]:
        """See `RemoteShell.forward`."""
        self._reached(node)
        return forwarded(self, node, port, local_port=local_port)

    def _spread(
        self, bid_id: str, bundle: Bundle, targets: Mapping[str, Node]
    ) -> Iterator[NodeEvent]:
        told = {"id": bid_id, "digest": bundle.digest}
        try:
            known = self._estate.read("known", **told, targets=list(targets))
            lost: dict[str, str] = {}
            if known["lacking"]:
                first = targets[known["lacking"][0]]
                came = self._estate.login.upload(first, bundle, target=known["place"])
                if not isinstance(came, NodeExit) or came.code:
                    lost = dict.fromkeys(known["lacking"], _why(came))
                else:
                    lost = self._estate.read("spread", **told, targets=known["lacking"])["lost"]
        except FlowError as exc:
            lost = dict.fromkeys(targets, exc.message)
        for path, node in targets.items():
            yield NodeLost(node, lost[path]) if path in lost else NodeExit(node, 0)

    def _place(self, node: Node) -> Place | str:
        """Return where a node is, or why it is nowhere."""
        bid_id, slash, rank = node.id.rpartition("/")
        try:
            found = self._estate.look().live.get(bid_id) if slash else None
            folder = self._surveyor.look(within_s=float("inf")).folder
        except Transient as exc:
            return exc.message
        hosts = hosts_of(found) if found is not None else []
        if found is None or found.state is not BidState.ALLOCATED or not rank.isdecimal():
            return "its allocation has ended"
        if int(rank) >= len(hosts):
            return f"its allocation has only {len(hosts)} nodes"
        return Place(
            job=found.job,
            host=hosts[int(rank)],
            folder=f"{folder}/bids/{bid_id}",
            rank=int(rank),
            python=self._python,
        )

    def _reached(self, node: Node) -> Place:
        place = self._place(node)
        if isinstance(place, str):
            raise NodeUnreachable(f"node {node.rank} gave no answer: {place}")
        return place

    def _carried(self, node: Node, bundle: Bundle, path: str) -> NodeEvent:
        """Bring a bundle to a folder that only the node has."""
        place = shlex.quote(path)
        note = f'"$FLOW_HOME"/bundle-{sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:16]}'
        digest = shlex.quote(bundle.digest)
        known = f'test -d {place} && test "$(cat {note} 2>/dev/null)" = {digest}'
        last = self._last(Call(node=node, line=known))
        if not isinstance(last, NodeExit) or last.code == 0:
            return last
        unpack = f"rm -f {note}; mkdir -p -- {place} && tar -x -f - -C {place} && printf %s {digest} >{note}"
        last = self._last(Call(node=node, line=unpack, stdin=_Archive(Path(bundle.location))))
        if isinstance(last, NodeExit) and last.code:
            return NodeLost(node, f"{path} could not be filled there")
        return last

    def _last(self, call: Call) -> NodeEvent:
        *_, last = self.run_many([call])
        return last


class _Archive:
    """A file's bytes in pieces."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __iter__(self) -> Iterator[bytes]:
        with self._path.open("rb") as stream:
            while piece := stream.read(_CHUNK):
                yield piece


def _why(event: NodeEvent) -> str:
    if isinstance(event, NodeLost):
        return event.reason
    return (
        f"it ended with {event.code}" if not isinstance(event, NodeOutput) else "no end was heard"
    )
