"""What a provider without logs would lose with its nodes is kept on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

import flow
from flow_adapters.log_keep import FolderLogKeep
from flow_adapters.memory import MemoryLogKeep
from flow_adapters.wiring import connect_in_memory
from flow_core.domain.run import LogChunk, LogPiece, Stream
from flow_core.ports.log_keep import LogKeep
from flow_providers.mock import PretendCloud

NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
pieces = st.lists(st.tuples(st.sampled_from(Stream), st.binary(min_size=1, max_size=9)), max_size=9)


def chunk(offset: int, written: list[tuple[Stream, bytes]], *, is_last: bool = False) -> LogChunk:
    """Return what was `written` as a chunk of rank 0 from `offset`."""
    found = tuple(LogPiece(stream, NOON, data) for stream, data in written)
    size = sum(len(data) for _, data in written)
    return LogChunk(rank=0, offset=offset, next_offset=offset + size, pieces=found, is_last=is_last)


@contextmanager
def new_keep(kind: str) -> Iterator[LogKeep]:
    """Give an empty keep of either kind."""
    if kind == "memory":
        yield MemoryLogKeep()
        return
    with TemporaryDirectory() as folder:
        yield FolderLogKeep(Path(folder))


both = pytest.mark.parametrize("kind", ["folder", "memory"])


@both
@given(parts=st.lists(pieces, max_size=4), offset=st.integers(0, 200), limit=st.integers(1, 50))
def test_what_was_kept_is_read_from_any_offset(
    kind: str,
    parts: list[list[tuple[Stream, bytes]]],
    offset: int,
    limit: int,
):
    """Bytes, streams and the log's end come back as they were kept, from any offset, in any portion."""
    with new_keep(kind) as keep:
        whole = b""
        for written in parts:
            keep.keep("bid_1", chunk(len(whole), written))
            whole += b"".join(data for _, data in written)
        keep.keep("bid_1", chunk(len(whole), [], is_last=True))

        read, place, last = b"", offset, False
        for _ in range(len(whole) + 2):
            found = keep.read("bid_1", 0, offset=place, limit=limit)
            assert found is not None
            read, place, last = read + found.data, found.next_offset, found.is_last
            if last:
                break

        assert whole[offset:] == read
        assert last
        assert len(whole) == keep.size("bid_1", 0)


@both
def test_a_chunk_out_of_place_is_left_out(kind: str):
    """A chunk that repeats or skips bytes changes nothing."""
    with new_keep(kind) as keep:
        keep.keep("bid_1", chunk(0, [(Stream.OUT, b"abc")]))
        keep.keep("bid_1", chunk(0, [(Stream.OUT, b"xyz")]))
        keep.keep("bid_1", chunk(9, [(Stream.OUT, b"xyz")]))
        found = keep.read("bid_1", 0, offset=0, limit=99)

        assert found is not None
        assert b"abc" == found.data


@both
def test_only_named_bids_stay(kind: str):
    """Dropping all but some bids drops the others' logs whole."""
    with new_keep(kind) as keep:
        keep.keep("bid_1", chunk(0, [(Stream.OUT, b"a")]))
        keep.keep("bid_2", chunk(0, [(Stream.OUT, b"b")]))

        keep.keep_only({"bid_2"})

        assert (0, 1) == (keep.size("bid_1", 0), keep.size("bid_2", 0))


def test_a_log_outlives_its_node_where_the_provider_keeps_none():
    """A task's whole log can be read after its end, though its provider has no logs role."""
    cloud = PretendCloud()
    cloud.on("talk", prints=["first", "last"])
    cloud.provider = evolve(cloud.provider, logs=None)
    task = flow.run("talk", num_instances=2, session=connect_in_memory(cloud))

    task.wait()

    said = [line for line in task.logs() if not line.startswith(("[0] flow:", "[1] flow:"))]
    assert ["[0] first", "[0] last", "[1] first", "[1] last"] == sorted(said)
    assert ["last"] == list(task.logs(tail=1, node=1))
