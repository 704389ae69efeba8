"""The logs role played over the shell, for providers that keep no logs themselves.

The node is asked while it is there: its helper for reports, and for its log a program that is sent along. What somebody
reads is kept on this machine, and before nodes are given back, so is what is left (`give_back`), so that a log's end is
never lost with its node.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from contextlib import closing, suppress
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from flow_core.domain.allocation import Node, NodeState
from flow_core.domain.node_files import (
    NODE_HELPER,
    LogAnswer,
    NodeFiles,
    log_line,
    parse_log_answer,
    parse_state,
)
from flow_core.domain.run import LogChunk, LogPiece, RunPhase, RunReport, Stream
from flow_core.errors import NodeUnreachable, NoRoom, NotFound
from flow_core.ports.shell import Call, NodeExit, NodeLost, NodeOutput

if TYPE_CHECKING:
    from flow_core.ports.log_keep import LogKeep
    from flow_core.ports.provider import Provider

#: Real seconds a node may take to answer one question.
ANSWER_S = 30.0
#: How much of a log is asked for, and kept, at once, in bytes.
_AT_ONCE = 1 << 20
#: How much one answer may bring to whoever takes it as it comes. Each question costs a start of Python there.
_AT_MOST = 256 << 20
_LONG_AGO = datetime(1970, 1, 1, tzinfo=timezone.utc)


class NodeLogs:
    """Implements `ports.logs.Logs` from the nodes while they can be reached, and from `keep` where it has more."""

    def __init__(
        self,
        provider: Provider,
        keep: LogKeep,
        *,
        files: NodeFiles,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        """Take the provider, where to keep what, and this machine's time; without that, answers aren't kept."""
        self._provider = provider
        self._keep = keep
        self._files = files
        self._now = now

    def reports(
        self, bid_ids: Collection[str], *, lone: bool = False
    ) -> Mapping[str, tuple[RunReport, ...]]:
        """See `Logs.reports`. A node that doesn't answer has no report in this sweep; see `Call` for `lone`."""
        found: dict[str, tuple[RunReport, ...]] = dict.fromkeys(bid_ids, ())
        calls: list[Call] = []
        owner: dict[str, str] = {}
        for bid_id, allocation in self._provider.fleet.allocations(bid_ids).items():
            for node in allocation.nodes:
                if node.is_reachable:
                    owner[node.id] = bid_id
                    calls.append(Call(node=node, line=f"{NODE_HELPER} report", lone=lone))
        said: dict[str, dict[int, str]] = {bid_id: {} for bid_id in set(owner.values())}
        for node, answer in self._answers(calls).items():
            said[owner[node.id]][node.rank] = answer.decode("utf-8", "replace")
        for bid_id, texts in said.items():
            found[bid_id] = _reports(texts)
            if self._now is not None:
                self._keep.tell(bid_id, texts, at=self._now())
        return found

    def recent(
        self, bid_ids: Collection[str], *, within: timedelta
    ) -> Mapping[str, tuple[RunReport, ...]]:
        """Return `reports`, of each bid as its nodes told whoever asked them within that time; the others are asked."""
        if self._now is None:
            return self.reports(bid_ids)
        since = self._now() - within
        told = {bid_id: self._keep.told(bid_id, since=since) for bid_id in bid_ids}
        known = {bid_id: _reports(texts) for bid_id, texts in told.items() if texts is not None}
        left = [bid_id for bid_id in bid_ids if bid_id not in known]
        return {**known, **(self.reports(left) if left else {})}

    def read(self, bid_id: str, rank: int, *, offset: int = 0, limit: int = _AT_ONCE) -> LogChunk:
        """See `Logs.read`."""
        kept = self._keep.read(bid_id, rank, offset=offset, limit=limit)
        if kept is not None:
            return kept
        node = self._node(bid_id, rank)
        if node is None or not node.is_reachable:
            return self._away(bid_id, rank, node, offset=offset, limit=limit)
        why: dict[Node, str] = {}
        answers = self._answers([Call(node=node, line=self._line(offset, limit))], why)
        if node not in answers:
            raise _silent(rank, why.get(node, ""))
        return parse_log_answer(answers[node], rank=rank, offset=offset)

    def rest(self, bid_id: str, rank: int, *, offset: int) -> Iterator[LogChunk]:
        """Yield what there is of a node's log from `offset` on, in order, as it comes; raises what `Logs.read` does.

        What comes from the node is kept, so that it outlives the node. A connection that breaks costs no byte.
        """
        while (kept := self._keep.read(bid_id, rank, offset=offset, limit=_AT_ONCE)) is not None:
            yield kept
            if kept.is_last:
                return
            offset = kept.next_offset
        node = self._node(bid_id, rank)
        if node is None or not node.is_reachable:
            yield self._away(bid_id, rank, node, offset=offset, limit=_AT_ONCE)
            return
        while True:
            answer = LogAnswer(rank=rank, offset=offset)
            was_heard, why = yield from self._coming(bid_id, node, answer)
            if answer.is_whole:
                return
            if answer.offset == offset and not was_heard:
                raise _silent(rank, why)
            if answer.offset < offset + _AT_MOST and was_heard:
                return
            offset = answer.offset

    def keep_rest(self, bid_id: str, places: Mapping[int, str]) -> None:
        """Keep what is still to be read of the logs of the ranks in `places`, as their end: their nodes go next.

        All nodes are asked at once, so that many that don't answer take no longer than one; each is asked twice.
        Where bytes are lost with a node, what is kept ends with a line that says so, and `places` where they lie.

        Raises:
            NoRoom: this machine's disk is full.
        """
        open_ones = [rank for rank in places if self._kept(bid_id, rank) is None]
        nodes: dict[int, Node] = {}
        with suppress(NotFound):
            found = self._provider.fleet.allocations([bid_id])[bid_id].nodes if open_ones else ()
            nodes = {each.rank: each for each in found if each.is_reachable}
        asked = {rank: nodes[rank] for rank in open_ones if rank in nodes}
        silent: set[int] = set()
        heard: set[int] = set()
        while asked:
            starts = {rank: self._keep.size(bid_id, rank) for rank in asked}
            lines = {rank: self._line(start, _AT_ONCE) for rank, start in starts.items()}
            answers = self._answers(
                [Call(node=node, line=lines[rank]) for rank, node in asked.items()]
            )
            for rank, node in list(asked.items()):
                chunk = None
                if node in answers:
                    chunk = parse_log_answer(answers[node], rank=rank, offset=starts[rank])
                    self._keep.keep(bid_id, chunk)
                elif rank not in silent:
                    silent.add(rank)  # a connection may break; this is the last chance to read
                    continue
                if chunk is None or chunk.is_last or chunk.next_offset == starts[rank]:
                    del asked[rank]
                    heard |= set() if chunk is None else {rank}
        for rank in open_ones:
            end = self._keep.size(bid_id, rank)
            lost = rank not in heard and self._has_lost(bid_id, rank, end)
            self._keep.keep(bid_id, self._ending(rank, end, lost, places[rank]))

    def _coming(
        self, bid_id: str, node: Node, answer: LogAnswer
    ) -> Generator[LogChunk, None, tuple[bool, str]]:
        """Yield one answer as it comes, and keep it; return whether it was heard to its end, and why not."""
        was_heard, why = False, ""
        call = Call(node=node, line=self._line(answer.offset, _AT_MOST), lone=True)
        with closing(self._provider.shell.run_many([call], timeout_s=ANSWER_S)) as events:
            for event in events:
                if isinstance(event, NodeOutput) and event.stream is Stream.OUT:
                    answer.take(event.data)
                elif isinstance(event, NodeExit):
                    was_heard, why = event.code == 0, f"exit code {event.code}"
                elif isinstance(event, NodeLost):
                    why = event.reason
                if answer.waiting >= _AT_ONCE or not isinstance(event, NodeOutput):
                    chunk = answer.chunk()
                    with suppress(NoRoom):  # whoever reads now shall not lack it
                        self._keep.keep(bid_id, chunk)
                    yield chunk
        return was_heard, why

    def _line(self, offset: int, limit: int) -> str:
        return log_line(self._files.log_reader, offset=offset, limit=limit)

    def _has_lost(self, bid_id: str, rank: int, end: int) -> bool:
        """Whether a node that wasn't heard any more wrote more than `end` bytes, or may have."""
        told = (self._keep.told(bid_id, since=_LONG_AGO) or {}).get(rank)
        if told is None:
            return end > 0
        last = parse_state(told, rank=rank)
        return last.log_bytes > end or last.phase is RunPhase.RUNNING

    def _ending(self, rank: int, end: int, lost: bool, place: str) -> LogChunk:
        """Return the last chunk of a log that is kept up to `end`."""
        if not lost or self._now is None:
            return LogChunk(rank=rank, offset=end, next_offset=end, is_last=True)
        words = (
            f"flow: node {rank} is gone, and what it wrote from here on is not kept on this machine"
        )
        data = f"{words}{place and '; '}{place}\n".encode()
        piece = LogPiece(Stream.NOTE, self._now(), data)
        size = end + len(data)
        return LogChunk(rank=rank, offset=end, next_offset=size, pieces=(piece,), is_last=True)

    def _kept(self, bid_id: str, rank: int) -> LogChunk | None:
        """Return the end of a log that is kept to its end; None of any other."""
        return self._keep.read(bid_id, rank, offset=self._keep.size(bid_id, rank), limit=1)

    def _node(self, bid_id: str, rank: int) -> Node | None:
        nodes = self._provider.fleet.allocations([bid_id])[bid_id].nodes
        return next((each for each in nodes if each.rank == rank), None)

    def _away(
        self, bid_id: str, rank: int, node: Node | None, *, offset: int, limit: int
    ) -> LogChunk:
        """Return what can be said of the log of a node that isn't up.

        Raises:
            NodeUnreachable: its log is on its disk, and it can come back.
            NotFound: neither.
        """
        # It may have been kept, and its node given back, since the keep was asked first.
        kept = self._keep.read(bid_id, rank, offset=offset, limit=limit)
        if kept is not None:
            return kept
        bid = self._provider.market.bid(bid_id)
        if not 0 <= rank < bid.quantity:
            raise NotFound(f"the bid has no node {rank}")
        if not bid.is_live:
            raise NotFound(f"node {rank} is gone, and no more of its log was kept than was read")
        if node is None or node.state is NodeState.STARTING:
            return LogChunk(rank=rank, offset=offset, next_offset=offset)
        raise NodeUnreachable(
            f"node {rank} is {node.state.value}, and its log with it",
            hint="it can be read again when the node is back",
        )

    def _answers(self, calls: list[Call], why: dict[Node, str] | None = None) -> dict[Node, bytes]:
        """Return what the nodes that answered said; `why` takes why others didn't."""
        why = {} if why is None else why
        said: dict[Node, bytearray] = {}
        answered: dict[Node, bytes] = {}
        with closing(self._provider.shell.run_many(calls, timeout_s=ANSWER_S)) as events:
            for event in events:
                if isinstance(event, NodeOutput) and event.stream is Stream.OUT:
                    said.setdefault(event.node, bytearray()).extend(event.data)
                elif isinstance(event, NodeExit) and event.code == 0:
                    answered[event.node] = bytes(said.get(event.node, b""))
                elif isinstance(event, NodeExit):
                    why[event.node] = f"exit code {event.code}"
                elif isinstance(event, NodeLost):
                    why[event.node] = event.reason
        return answered


def _silent(rank: int, why: str) -> NodeUnreachable:
    return NodeUnreachable(
        f"node {rank} did not give its log: {why}", hint="-f asks again until it does"
    )


def _reports(said: Mapping[int, str]) -> tuple[RunReport, ...]:
    return tuple(parse_state(text, rank=rank) for rank, text in sorted(said.items()))
