"""Snapshots that are read while they are taken."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_adapters.packing import TarCodeStore
from flow_adapters.packing_ahead import PackingAhead, Stopped
from flow_core.domain.code import Bundle
from flow_core.errors import InvalidRequest

PATIENCE_S = 30


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """A folder of code, more than is written in one go."""
    folder = tmp_path / "code"
    folder.mkdir()
    for number in range(5):
        (folder / f"f{number}").write_bytes(bytes([number]) * 700_000)
    return folder


def archive_of(bundle: Bundle, store: TarCodeStore) -> bytes:
    """The tar of a snapshot."""
    data = store.tar(bundle.digest, most=1 << 30)
    assert data is not None
    return data


def test_what_is_read_meanwhile_is_the_archive(code: Path, tmp_path: Path):
    """The pieces are the tar that `pack` makes, the first time, with a file changed, and with nothing changed."""
    store = TarCodeStore(tmp_path / "store")
    for change in (b"", b"x", b""):
        (code / "f2").write_bytes((code / "f2").read_bytes() + change)
        packing = store.packing(str(code))
        came = b"".join(packing.pieces())

        assert came == archive_of(packing.done(), store)
        assert packing.done() == store.pack(str(code))
        assert packing.is_done


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6))
def test_nothing_is_read_that_has_not_been_told(tmp_path_factory, parts):
    """However far the archive has come, its reader has what was told of it and waits for the rest."""
    place = tmp_path_factory.mktemp("ahead") / "archive"
    place.write_bytes(b"".join(parts))
    turns = [threading.Semaphore(0) for _ in parts]

    def pack(begun):
        tell, size = begun(place), 0
        for part, turn in zip(parts, turns, strict=True):
            assert turn.acquire(timeout=PATIENCE_S)
            size += len(part)
            tell(size)
        return Bundle(digest="d", location=str(place), files=0, bytes=0)

    packing = PackingAhead(pack)
    pieces = packing.pieces()
    for part, turn in zip(parts, turns, strict=True):
        turn.release()
        assert part == next(pieces)

    assert b"" == b"".join(pieces)


def test_what_goes_wrong_is_raised_to_who_reads_and_who_waits(tmp_path: Path):
    """A folder that isn't there raises what `pack` raises, from both."""
    packing = TarCodeStore(tmp_path / "store").packing(str(tmp_path / "none"))
    with pytest.raises(InvalidRequest, match="there is no folder"):
        list(packing.pieces())
    with pytest.raises(InvalidRequest, match="there is no folder"):
        packing.done()

    assert not packing.is_done


def test_a_snapshot_that_nobody_wants_leaves_nothing(code: Path, tmp_path: Path):
    """One that is closed before its end has left no file in the store, and says that it was stopped."""
    store = tmp_path / "store"
    reached, go_on = threading.Event(), threading.Event()
    real = TarCodeStore(store)

    def pack(begun):
        def slow(path):
            tell = begun(path)

            def held(size):
                reached.set()
                assert go_on.wait(PATIENCE_S)
                tell(size)

            return held

        return real._pack(str(code), slow)

    packing = PackingAhead(pack)
    assert reached.wait(PATIENCE_S)
    packing.is_stopped = True
    go_on.set()
    packing.close()

    assert [] == list(store.iterdir())
    with pytest.raises(Stopped):
        packing.done()


def test_one_that_is_over_is_closed_for_nothing(code: Path, tmp_path: Path):
    """Closing what is done changes nothing."""
    packing = TarCodeStore(tmp_path / "store").packing(str(code))
    bundle = packing.done()
    packing.close()

    assert bundle == packing.done()
    assert Path(bundle.location).exists()
