"""Snapshots that are read while they are taken."""

from __future__ import annotations

import struct
import threading
import zlib
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_adapters.archives import Tar
from flow_adapters.contents import read_contents
from flow_adapters.packing import TarCodeStore
from flow_adapters.packing_ahead import PackingAhead, Stopped
from flow_adapters.tarring import write_tar
from flow_adapters.walking import walk
from flow_core.domain.code import Bundle
from flow_core.errors import InvalidRequest

PATIENCE_S = 30
#: What an archive ends with: where its contents begin, how long they are, and a word.
contents_end = struct.Struct(">QQ8s")


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

    def pack(begun, _borrows):
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

    def pack(begun, _borrows):
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


def test_long_stretches_of_the_last_archive_are_copied_in_order(tmp_path: Path):
    """What is known to be the same is copied, and the archive is what reading all of it would have made."""
    folder = tmp_path / "code"
    folder.mkdir()
    for name in "abcd":
        with (folder / name).open("wb") as file:
            file.truncate(12_000_000)
            file.write(name.encode())
    with (tmp_path / "before").open("wb") as archive:
        before = write_tar(archive, folder, walk(folder))
    (folder / "b").write_text("short")
    same = [each if each.path != "b" else None for each in before.members]
    told: list[int] = []
    last = Tar(tmp_path / "before", before)
    with closing(last), (tmp_path / "after").open("wb") as archive:
        after = write_tar(archive, folder, walk(folder), same=same, last=last, tell=told.append)
    with (tmp_path / "fresh").open("wb") as archive:
        fresh = write_tar(archive, folder, walk(folder))

    assert (fresh.digest, fresh.size) == (after.digest, after.size)
    assert (tmp_path / "fresh").read_bytes() == (tmp_path / "after").read_bytes()
    assert sorted(told) == told
    assert after.size == told[-1]


def test_contents_that_are_squeezed_are_read(code: Path, tmp_path: Path):
    """An archive that an older Flow wrote is whole, and what it holds is known."""
    store = TarCodeStore(tmp_path / "store")
    bundle = store.pack(str(code))
    path = Path(bundle.location)
    data = path.read_bytes()
    size, length, _ = contents_end.unpack(data[-contents_end.size :])
    text = zlib.compress(data[size : size + length], 1)
    end = contents_end.pack(size, len(text), b"flowtar1")
    old = path.with_name("0" * 64 + ".5.1.tar")
    old.write_bytes(data[:size] + text + end)

    assert read_contents(path) == read_contents(old)
    assert "0" * 64 == store.bundle("0" * 64).digest
