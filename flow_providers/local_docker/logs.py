"""The logs role: the helper's files in a node's container, and copies of them when the container has gone."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from flow_adapters.at_once import at_once
from flow_core.domain import node_files
from flow_core.domain.allocation import Node, NodeState
from flow_core.domain.run import LogChunk, RunPhase, RunReport, Stream
from flow_core.errors import FlowError, NodeUnreachable, NotFound
from flow_providers.local_docker.engine import Engine
from flow_providers.local_docker.kept_logs import KeptLogs
from flow_providers.local_docker.labels import HOME_LABEL, RANK, TELLS, Record, node_id
from flow_providers.local_docker.talks import Talks
from flow_providers.local_docker.told import Told, last_told

_FILES = ("state.json", "log.index", "log")
_STREAMS = (Stream.OUT, Stream.ERR, Stream.NOTE)
_KILLED = 137
_PIECE = 1 << 20
#: For how long after its bid was placed a node is asked nothing but what it tells; it goes on a little longer.
YOUNG = timedelta(seconds=40)
#: How soon it has said something: later it is asked.
SPEAKS = timedelta(seconds=10)

Box = Mapping[str, Any]
#: Returns the record and the containers, by rank, of each live bid.
Look = Callable[[], Mapping[str, tuple[Record, Mapping[int, Box]]]]


class DockerLogs:
    """Implements `ports.logs.Logs`."""

    def __init__(
        self,
        engine: Engine,
        talks: Talks,
        kept: KeptLogs,
        *,
        look: Look,
        now: Callable[[], datetime],
    ) -> None:
        self._engine = engine
        self._now = now
        self._talks = talks
        self._kept = kept
        self._look = look

    def reports(self, bid_ids: Collection[str]) -> Mapping[str, tuple[RunReport, ...]]:
        """See `Logs.reports`."""
        live = self._look() if bid_ids else {}
        kept = {bid_id: self._kept.ranks(bid_id) for bid_id in bid_ids}
        asked = [
            (bid_id, rank, record, box)
            for bid_id in bid_ids
            for record, boxes in [live.get(bid_id, (None, {}))]
            if record is not None
            for rank, box in boxes.items()
            if rank not in kept[bid_id]
        ]
        states = at_once(lambda each: self._state(each[2], each[3]), asked)
        found = {each[:2]: state for each, state in zip(asked, states, strict=True)}
        found |= {
            (bid_id, rank): self._kept.state(bid_id, rank)
            for bid_id, ranks in kept.items()
            for rank in ranks
        }
        return {bid_id: _reports(bid_id, found) for bid_id in bid_ids}

    def read(self, bid_id: str, rank: int, *, offset: int = 0, limit: int = 1 << 20) -> LogChunk:
        """See `Logs.read`."""
        kept = self._kept.read(bid_id, rank, offset=offset, limit=limit)
        if kept is not None:
            return kept
        node = Node(id=node_id(bid_id, rank), rank=rank, state=NodeState.RUNNING)
        if self._talks.is_open(node):  # nothing need be asked of the engine
            with suppress(NodeUnreachable):
                return self._stretch(node, offset, limit)
        record, boxes = self._look().get(bid_id, (None, {}))
        box = boxes.get(rank)
        if record is None or box is None:
            raise NotFound(f"there is no log of node {rank} of bid {bid_id!r} here")
        told = self._told(record, box)
        if told is not None and told.log is not None:
            data = told.log[offset : offset + limit]
            is_last = offset + len(data) >= len(told.log)
            return node_files.chunk(
                data, node_files.parse_index(told.index), rank=rank, offset=offset, is_last=is_last
            )
        try:
            return self._stretch(node_of(box), offset, limit)
        except NodeUnreachable:
            kept = self._kept.read(bid_id, rank, offset=offset, limit=limit)
            if kept is not None:
                return kept
            files = self._files(box)
            index = node_files.parse_index(files.get("log.index", b""))
            data = files.get("log", b"")[offset : offset + limit]
            return node_files.chunk(data, index, rank=rank, offset=offset)

    def keep(self, record: Record, box: Box) -> None:
        """Copy what a container that goes next has said; what can't be had any more isn't kept.

        Raises:
            OSError: this machine's disk is full.
        """
        rank = int(box["Labels"][RANK])
        if self._kept.state(record.id, rank) is not None:
            return
        place = self._kept.begin(record.id, rank)
        told = self._told(record, box)
        try:
            if told is not None and told.log is not None:
                state = told.state
                (place / "log").write_bytes(told.log)
                (place / "log.index").write_bytes(told.index)
            else:
                state, _ = self._talks.ask(node_of(box), "report")
                self._copy(node_of(box), place)
            state = {**state, "reason": self._reason(state, record)}
            (place / "state.json").write_text(json.dumps(state), "utf-8")
        except FlowError:
            for name, content in self._files(box).items():
                (place / name).write_bytes(content)
        self._talks.end(node_of(box).id)
        self._kept.keep(place, record.id, rank)

    def _state(self, record: Record, box: Box) -> dict[str, Any] | None:
        """Return what a node says of its command; None before its first word, or when it can't be asked."""
        if box["State"] == "created":
            return None
        told = self._told(record, box)
        if told is not None and not told.state.get("wants_delivery"):
            return (
                {**told.state, "reason": self._reason(told.state, record)} if told.state else None
            )
        try:
            state, _ = self._talks.ask(node_of(box), "report")
        except FlowError:
            kept = self._kept.state(record.id, int(box["Labels"][RANK]))
            if kept is not None:  # it goes, and whoever ends it has kept this since we looked
                return kept
            try:
                state = json.loads(self._files(box, "state.json").get("state.json", b"{}"))
            except (FlowError, ValueError):
                return None
            if state.get("phase") in (RunPhase.WAITING.value, RunPhase.RUNNING.value):
                state.update(phase=RunPhase.INTERRUPTED.value, waiting_for="", wants_delivery=False)
        return {**state, "reason": self._reason(state, record)} if state.get("phase") else None

    def _told(self, record: Record, box: Box) -> Told | None:
        """Return what a young node said last; None where it doesn't tell, or is better asked."""
        node, age = node_of(box), self._now() - datetime.fromisoformat(record.created_at)
        if TELLS not in box["Labels"] or box["State"] != "running" or age > YOUNG:
            return None
        if self._talks.is_open(node):
            return None
        if self._talks.is_open(node, first=True):  # there is nothing to bring it
            self._talks.end(node.id)
        path, query = f"/containers/{box['Id']}/logs", {"stdout": "1", "tail": "2"}
        try:
            told = last_told(self._engine.raw("GET", path, query=query))
        except FlowError:  # an engine that keeps no logs, or another's words
            return None
        return None if not told.state and age > SPEAKS else told

    def _reason(self, state: Mapping[str, Any], record: Record) -> str:
        """Return why a command ended, where its exit code doesn't tell: memory that ran out."""
        if state.get("exit_code") != _KILLED or not state.get("oom"):
            return str(state.get("reason") or "")
        limit = record.options.get("memory")
        return (
            f"ran out of memory: its container may use {limit}; give it more with --option memory=SIZE"
            if limit
            else "ran out of memory: this machine has no more to give"
        )

    def _stretch(self, node: Node, offset: int, limit: int) -> LogChunk:
        head, data = self._talks.ask(node, f"log {offset} {limit}")
        answer = json.dumps(head).encode() + b"\n" + data
        return node_files.parse_log_answer(answer, rank=node.rank, offset=offset)

    def _copy(self, node: Node, place: Path) -> None:
        """Copy a log, and write again what describes it."""
        with (place / "log").open("wb") as log, (place / "log.index").open("wb") as index:
            offset = 0
            while (chunk := self._stretch(node, offset, _PIECE)).pieces:
                for piece in chunk.pieces:
                    log.write(piece.data)
                    number = _STREAMS.index(piece.stream)
                    size = len(piece.data)
                    index.write(node_files.ENTRY.pack(offset, size, number, piece.at.timestamp()))
                    offset += size

    def _files(self, box: Box, *names: str) -> dict[str, bytes]:
        """Return files of the helper's in a container, whether that runs or not."""
        found = {}
        home = box["Labels"].get(HOME_LABEL) or "/opt/flow"
        for name in names or _FILES:
            query = {"path": f"{home}/{name}"}
            try:
                raw = self._engine.raw("GET", f"/containers/{box['Id']}/archive", query=query)
            except NotFound:
                continue
            with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
                member = tar.next()
                file = tar.extractfile(member) if member is not None else None
                found[name] = file.read() if file is not None else b""
        return found


def _reports(
    bid_id: str, found: Mapping[tuple[str, int], Mapping[str, Any] | None]
) -> tuple[RunReport, ...]:
    return tuple(
        node_files.parse_state(json.dumps(state), rank=rank)
        for (bid, rank), state in sorted(found.items(), key=lambda each: each[0])
        if bid == bid_id and state
    )


def node_of(box: Box) -> Node:
    """Return a container as a node to talk to."""
    name = box["Names"][0].lstrip("/")
    return Node(id=name, rank=int(box["Labels"][RANK]), state=NodeState.RUNNING)
