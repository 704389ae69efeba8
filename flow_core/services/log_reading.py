"""Reading logs to their very last byte, of one node or of many in turn."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from flow_core.domain.run import LogChunk
from flow_core.errors import NodeUnreachable, NotFound, Transient
from flow_core.services.looking import last_reports, logs_of, rest_of_log
from flow_core.services.polling import intervals

if TYPE_CHECKING:
    from flow_core.domain.record import TaskRecord
    from flow_core.services.ports import Ports

#: How much is asked for at once, in bytes.
CHUNK_BYTES = 1 << 20
_TAIL_BLOCK = 1 << 16


def read(
    ports: Ports, record: TaskRecord, rank: int, *, offset: int, limit: int = CHUNK_BYTES
) -> LogChunk:
    """Return a stretch of one node's log; empty before the node has spoken.

    Raises:
        NotFound: the task has no such node, or its log is no longer kept.
    """
    _must_have(record, rank)
    if record.bid_id is None:
        return LogChunk(rank=rank, offset=offset, next_offset=offset, is_last=record.has_ended)
    with _telling_where(ports, record, rank):
        return logs_of(ports).read(record.bid_id, rank, offset=offset, limit=limit)


def stream(
    ports: Ports,
    record: TaskRecord,
    *,
    ranks: Collection[int] | None,
    follow: bool,
    tail: int | None,
    when_quiet: Callable[[], None] | None = None,
) -> Iterator[LogChunk]:
    """Yield non-empty chunks of the logs of `ranks` (all without), in turn; see `Tasks.logs`."""
    wanted = sorted(set(ranks)) if ranks is not None else range(record.spec.num_instances)
    for rank in wanted:
        _must_have(record, rank)
    offsets = {
        rank: 0 if tail is None else _tail_offset(ports, record, rank, tail) for rank in wanted
    }
    if tail is not None and tail <= 0 and not follow:
        return
    waits = intervals(ports.provider.limits.poll_s)
    while offsets:
        # The order matters: what was written before the task was seen to have ended is read after.
        record = ports.journal.find(record.token)
        is_over = record.has_ended and (record.released or record.spec.keep)
        moved = False
        for rank in list(offsets):
            try:
                is_whole = False
                # Read until it ends by itself: whoever leaves before has what still runs on the node ended.
                for chunk in _rest(ports, record, rank, offsets[rank]):
                    if chunk.pieces:
                        moved = True
                        yield chunk
                    offsets[rank] = chunk.next_offset
                    is_whole = chunk.is_last
                if is_whole:
                    del offsets[rank]
            except (NodeUnreachable, NotFound, Transient):
                if not follow or is_over:
                    raise
                # It is away, as a preempted node is; it may be back at the next look.
        if not follow or is_over:
            return
        if moved:
            waits = intervals(ports.provider.limits.poll_s)
        elif when_quiet is not None and offsets:
            when_quiet()
            when_quiet = None
        if offsets:
            ports.watch.ensure()
            ports.clock.sleep(next(waits))


def _must_have(record: TaskRecord, rank: int) -> None:
    if not 0 <= rank < record.spec.num_instances:
        last = record.spec.num_instances - 1
        raise NotFound(
            f"{record.name!r} has no node {rank}",
            hint=f"its nodes are 0 to {last}" if last else "its one node is 0",
        )


def _rest(ports: Ports, record: TaskRecord, rank: int, offset: int) -> Iterator[LogChunk]:
    if record.bid_id is None:
        yield read(ports, record, rank, offset=offset)
    else:
        with _telling_where(ports, record, rank):
            yield from rest_of_log(ports, record.bid_id, rank, offset=offset)


@contextmanager
def _telling_where(ports: Ports, record: TaskRecord, rank: int) -> Iterator[None]:
    """Have whoever hears that a log is away or lost hear where else it lies."""
    try:
        yield
    except (NodeUnreachable, NotFound) as trouble:
        from flow_core.services.attending import where_logs_lie

        told = (trouble.hint, where_logs_lie(record, ports.provider, rank))
        trouble.hint = "; ".join(each for each in told if each) or None
        raise


def _tail_offset(ports: Ports, record: TaskRecord, rank: int, lines: int) -> int:
    end = _end(ports, record, rank)
    if lines <= 0:
        return end
    start, found = end, 0
    while start > 0:
        begin = max(0, start - _TAIL_BLOCK)
        data = b"".join(chunk.data for chunk in _between(ports, record, rank, begin, start))
        position = len(data)
        if start == end and data.endswith(b"\n"):
            position -= 1  # the newline that ends the last line separates nothing
        while (position := data.rfind(b"\n", 0, position)) >= 0:
            found += 1
            if found == lines:
                return begin + position + 1
        start = begin
    return 0


def _between(
    ports: Ports, record: TaskRecord, rank: int, start: int, end: int
) -> Iterator[LogChunk]:
    while start < end:
        chunk = read(ports, record, rank, offset=start, limit=end - start)
        if chunk.next_offset == start:
            return
        yield chunk
        start = chunk.next_offset


def _end(ports: Ports, record: TaskRecord, rank: int) -> int:
    if record.bid_id is None:
        return 0
    reports = last_reports(ports, record.bid_id)
    said = next((report.log_bytes for report in reports if report.rank == rank), 0)
    return max(said, ports.log_keep.size(record.bid_id, rank))
