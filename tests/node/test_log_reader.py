"""The reader of logs is sent to a node with each question: it prints what there is, whether a helper came or not."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow_adapters.node_files import load_node_files
from flow_core.domain.node_files import ENTRY, log_line, parse_log_answer
from flow_core.domain.run import LogChunk, Stream

PATIENCE_S = 30
STREAMS = list(Stream)
MIB = 1 << 20


def ask(home: Path, *, offset: int = 0, limit: int = MIB) -> subprocess.Popen[bytes]:
    """Ask for a stretch, as the core does, over a shell."""
    line = log_line(load_node_files().log_reader, offset=offset, limit=limit)
    env = {"PATH": os.environ["PATH"], "FLOW_HOME": str(home)}
    return subprocess.Popen(["sh", "-c", line], env=env, stdout=subprocess.PIPE)


def read(home: Path, *, offset: int = 0, limit: int = MIB) -> LogChunk:
    """Return a stretch."""
    asked = ask(home, offset=offset, limit=limit)
    answer, _ = asked.communicate(timeout=PATIENCE_S)
    assert 0 == asked.returncode
    return parse_log_answer(answer, rank=0, offset=offset)


def write(home: Path, lengths: list[int], data: bytes, *, phase: str = "exited") -> None:
    """Write a log whose stretches have these lengths, streams in turn."""
    home.mkdir(exist_ok=True)
    starts = [sum(lengths[:number]) for number in range(len(lengths))]
    entries = [
        ENTRY.pack(start, length, number % len(STREAMS), 1.5 + number)
        for number, (start, length) in enumerate(zip(starts, lengths, strict=True))
    ]
    (home / "log").write_bytes(data)
    (home / "log.index").write_bytes(b"".join(entries))
    (home / "state.json").write_text(f'{{"attempt": 0, "phase": "{phase}"}}')


@pytest.mark.parametrize("is_there", [False, True])
def test_a_node_without_its_helper_has_an_empty_log(tmp_path: Path, is_there: bool):
    """Whoever comes before the node script has begun finds nothing yet, which is no failure."""
    home = tmp_path / "flow"
    if is_there:
        home.mkdir()
    found = read(home, offset=7)

    assert (7, 7, b"", False) == (found.offset, found.next_offset, found.data, found.is_last)


@settings(max_examples=25)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=12),
    offset=st.integers(0, 120),
    limit=st.integers(1, 120),
    phase=st.sampled_from(["running", "exited"]),
)
def test_any_stretch_is_told_with_its_streams_and_times(
    tmp_path_factory, lengths: list[int], offset: int, limit: int, phase: str
):
    """From any offset, up to any limit: the bytes, whose they are and when they came; the end is told once it is."""
    home = tmp_path_factory.mktemp("node")
    data = random.Random(1).randbytes(sum(lengths))
    write(home, lengths, data, phase=phase)
    found = read(home, offset=offset, limit=limit)
    whose = [number for number, length in enumerate(lengths) for _ in range(length)]
    place = offset

    for piece in found.pieces:
        begin = whose[place]
        assert {begin} == set(whose[place : place + len(piece.data)])
        assert (STREAMS[begin % 3], 1.5 + begin) == (piece.stream, piece.at.timestamp())
        place += len(piece.data)
    assert data[offset : offset + limit] == found.data
    assert found.is_last == (phase == "exited" and offset + limit >= len(data))


@pytest.mark.parametrize("kind", ["lines", "noise"])
def test_long_logs_come_whole_and_in_order(tmp_path: Path, kind: str):
    """What several threads squeeze comes in its order, whether it can be squeezed or not."""
    size = 9 * MIB + 12_345
    line = b"step %09d loss 0.%06d\n"
    text = b"".join(line % (each, each * 7_919 % 999_983) for each in range(size // 30))
    data = random.Random(2).randbytes(size) if kind == "noise" else text
    write(tmp_path, [len(data) // 2, len(data) - len(data) // 2], data)
    found = read(tmp_path, offset=3, limit=1 << 30)

    assert data[3:] == found.data
    assert found.is_last


def test_a_reader_that_nobody_hears_ends(tmp_path: Path):
    """Whoever asked may go at any time; no thread of the reader's waits for another's turn then."""
    data = random.Random(3).randbytes(20 * MIB)
    write(tmp_path, [len(data)], data)
    asked = ask(tmp_path, limit=1 << 30)
    assert asked.stdout is not None
    asked.stdout.read(1)
    asked.stdout.close()

    assert 1 == asked.wait(PATIENCE_S)


def test_a_log_that_lacks_what_its_index_says_is_no_answer(tmp_path: Path):
    """A node whose disk lost bytes fails to answer, rather than telling others in their place."""
    write(tmp_path, [10], b"short")
    asked = ask(tmp_path)
    answer, _ = asked.communicate(timeout=PATIENCE_S)

    assert 1 == asked.returncode
    assert b"" == parse_log_answer(answer, rank=0).data
