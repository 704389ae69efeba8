"""What the node helper writes is read back as values."""

from __future__ import annotations

import json
import zlib
from datetime import datetime, timedelta, timezone
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from flow_core.domain.allocation import Notice, NoticeKind
from flow_core.domain.node_files import (
    ENTRY,
    LogAnswer,
    Stretch,
    chunk,
    first_stretch_past,
    notice_text,
    parse_index,
    parse_log_answer,
    parse_state,
    utc,
)
from flow_core.domain.run import RunPhase, Stream

LENGTHS = st.lists(st.integers(1, 9), max_size=20)


def stretches(lengths: list[int]) -> list[Stretch]:
    """An index whose stretches have these lengths, streams in turn."""
    streams = (Stream.OUT, Stream.ERR)
    return [
        Stretch(sum(lengths[:number]), length, streams[number % 2], 1.0 + number)
        for number, length in enumerate(lengths)
    ]


def test_no_state_yet_is_a_node_that_starts():
    """Before the helper's first word the command waits for the node itself."""
    report = parse_state("{}", rank=3)

    assert (3, RunPhase.WAITING, "the node to start") == (
        report.rank,
        report.phase,
        report.waiting_for,
    )
    assert report == parse_state("", rank=3)


def test_a_states_times_are_turned():
    """Unix seconds become whatever time the caller keeps."""
    text = '{"phase": "exited", "exit_code": 2, "attempt": 1, "began_at": 10, "ended_at": 20, "used": 4}'
    report = parse_state(text, rank=0, at=lambda seconds: utc(seconds * 60))

    assert datetime(1970, 1, 1, 0, 20, tzinfo=timezone.utc) == report.ended_at
    assert report.ended_at is not None
    assert report.began_at is not None
    assert timedelta(minutes=10) == report.ended_at - report.began_at
    assert (2, 1) == (report.exit_code, report.attempt)


def test_half_an_entry_is_not_read():
    """An index that is just being written ends with its last whole entry."""
    whole = ENTRY.pack(0, 5, 0, 1.5) + ENTRY.pack(5, 2, 2, 2.5)

    assert [Stretch(0, 5, Stream.OUT, 1.5), Stretch(5, 2, Stream.NOTE, 2.5)] == parse_index(whole)
    assert parse_index(whole[:-1]) == parse_index(whole)[:1]


@given(LENGTHS, st.integers(0, 200))
def test_the_search_finds_the_stretch_that_holds_an_offset(lengths, offset):
    """It gives the first stretch that ends after the offset, as a look at each in turn does."""
    index = stretches(lengths)
    plain = next((number for number, each in enumerate(index) if each.end > offset), len(index))

    assert plain == first_stretch_past(offset, count=len(index), stretch=index.__getitem__)


@given(LENGTHS, st.data())
def test_a_chunk_is_the_bytes_that_its_stretches_cover(lengths, data):
    """Pieces put together are the log from the offset, each byte with its stream."""
    index = stretches(lengths)
    log = bytes(number % 251 for number in range(sum(lengths)))
    offset = data.draw(st.integers(0, len(log)))
    end = data.draw(st.integers(offset, len(log)))
    first = first_stretch_past(offset, count=len(index), stretch=index.__getitem__)
    found = chunk(log[offset:end], index[first:], rank=0, offset=offset)

    assert log[offset:end] == found.data
    assert end == found.next_offset
    assert all(piece.data for piece in found.pieces)


def test_an_answer_cut_short_says_where_to_go_on():
    """Bytes that didn't arrive are asked for again, and the end is not the end."""
    head = b'{"offset": 4, "next_offset": 9, "pieces": [["out", 2, 1.0], ["err", 3, 2.0]], "is_last": true}\n'
    whole, short = (
        parse_log_answer(head + b"abcde", rank=1),
        parse_log_answer(head + b"abc", rank=1),
    )

    assert (b"abcde", 9, True) == (whole.data, whole.next_offset, whole.is_last)
    assert (b"abc", 7, False) == (short.data, short.next_offset, short.is_last)
    assert [Stream.OUT, Stream.ERR] == [piece.stream for piece in short.pieces]


@given(data=st.binary(min_size=1, max_size=200), cuts=st.lists(st.integers(0, 400), max_size=5))
def test_an_answer_is_read_while_it_comes(data: bytes, cuts: list[int]):
    """However the bytes of a squeezed answer arrive, the chunks follow on each other and hold every byte once."""
    half = len(data) // 2
    pieces = [["out", half, 1.0], ["err", len(data) - half, 2.0]]
    head = {"offset": 4, "next_offset": 4 + len(data), "pieces": pieces, "is_last": True}
    sent = json.dumps({**head, "zlib": True}).encode() + b"\n" + zlib.compress(data, 1)
    coming, chunks = LogAnswer(rank=0, offset=4), []
    for begin, end in pairwise([0, *sorted(cuts), len(sent)]):
        coming.take(sent[begin:end])
        chunks.append(coming.chunk())

    assert data == b"".join(each.data for each in chunks)
    assert all(before.next_offset == after.offset for before, after in pairwise(chunks))
    assert all(each.is_last == (each.next_offset == 4 + len(data)) for each in chunks)
    assert chunks[-1].is_last


def test_an_empty_answer_is_an_empty_chunk():
    """A helper that said nothing leaves the reader where it was."""
    found = parse_log_answer(b"", rank=0, offset=12)

    assert (12, 12, b"", False) == (found.offset, found.next_offset, found.data, found.is_last)


def test_a_notice_file_holds_kind_and_deadline():
    """The deadline is on the node's own clock, whatever the cloud's says."""
    notice = Notice(NoticeKind.PREEMPTION, datetime(2026, 1, 1, tzinfo=timezone.utc))

    assert {"kind": "preemption", "deadline": "1970-01-01T00:00:12.500Z"} == json.loads(
        notice_text(notice, deadline=12.5)
    )
