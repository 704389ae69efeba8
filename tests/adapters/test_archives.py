"""Archives that borrow from another: they are the tar that a whole one is, for as long as anybody needs them."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow_adapters.archives import BASE, BORROWS, WHOLE, Tar, opened
from flow_adapters.clocks import ManualClock, SystemClock
from flow_adapters.contents import read_contents
from flow_adapters.deltas import Deltas
from flow_adapters.packing import GRACE, TarCodeStore
from flow_adapters.packing_ahead import Stopped
from flow_core.domain.code import Bundle
from flow_core.errors import NoRoom, NotFound
from tests.ssh.uploads import trusted

#: So much more than what changes that it is worth borrowing.
BIG = bytes(range(256)) * 400


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """A folder of code, most of which never changes."""
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "big").write_bytes(BIG)
    (folder / "a").write_text("first")
    return folder


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands at the time of the files."""
    return ManualClock(SystemClock().now())


@pytest.fixture
def store(tmp_path: Path, clock: ManualClock) -> TarCodeStore:
    """A store that borrows however little there is."""
    return TarCodeStore(tmp_path / "store", clock=clock, worth_borrowing=0)


def tar_of(bundle: Bundle) -> bytes:
    """The tar that a snapshot's archive is."""
    contents = read_contents(Path(bundle.location))
    assert contents is not None
    with opened(Path(bundle.location)) as archive:
        return archive.read(contents.size)


def suffixes(store: Path) -> list[str]:
    """What kinds of files lie in a store."""
    return sorted(path.suffix for path in store.iterdir())


def changed(code: Path, store: TarCodeStore, text: str) -> Bundle:
    """The snapshot of a folder in which one file has changed."""
    (code / "a").write_text(text)
    return trusted(store.packing(str(code)).taken())


states = st.dictionaries(
    st.sampled_from(["a", "b/c", "b/d", "cc", "z"]), st.binary(max_size=1_500), max_size=4
)


@settings(max_examples=30)
@given(states=st.lists(states, min_size=2, max_size=5))
def test_one_that_borrows_is_the_tar_that_a_whole_one_is(tmp_path_factory, states):
    """Whatever changes, in however many steps: digest, bytes, and what is sent to whom has any earlier one."""
    base = tmp_path_factory.mktemp("borrowed")
    code = base / "code"
    (code / "b").mkdir(parents=True)
    (code / "bb").write_bytes(BIG)
    store = TarCodeStore(base / "store", worth_borrowing=0)
    earlier: list[str] = []
    for before, state in pairwise([{}, *states]):
        for name in before.keys() - state.keys():
            (code / name).unlink()
        for name, data in state.items():
            if data != before.get(name):  # another size each time, since times may be the same
                (code / name).write_bytes(data + bytes(1_600 * len(earlier)))
        os.utime(code / "b", (1, 1))  # a folder's time is that of its first snapshot
        taken = trusted(store.packing(str(code)).taken())
        fresh = TarCodeStore(base / f"fresh{len(earlier)}").pack(str(code))

        assert (fresh.digest, fresh.files, fresh.bytes) == (taken.digest, taken.files, taken.bytes)
        assert tar_of(fresh) == tar_of(taken) == store.tar(taken.digest, most=1 << 20)
        for digest in ["", *earlier]:
            with opened(Path(taken.location)) as archive:
                ours = b"".join(Deltas(Path(taken.location)).since(digest, ["z"]).pieces(archive))
            whole = Path(store.bundle(taken.digest).location)
            with whole.open("rb") as archive:
                assert ours == b"".join(Deltas(whole).since(digest, ["z"]).pieces(archive))
        earlier.append(taken.digest)


def test_little_is_written_for_little_that_changed(code, store, tmp_path):
    """The second and the third snapshot hold what changed, and borrow from the first."""
    trusted(store.pack(str(code)))
    snapshots = [changed(code, store, text) for text in ("second", "third")]

    assert [BORROWS] * 2 == [Path(each.location).suffix for each in snapshots]
    assert all(Path(each.location).stat().st_size < 5_000 for each in snapshots)
    assert [BASE, BASE, BORROWS, BORROWS, WHOLE] == suffixes(tmp_path / "store")


@pytest.mark.parametrize("makes_tar", [lambda store, code, _: store.packing(code).done(),
                                       lambda store, code, _: store.pack(code),
                                       lambda store, _, digest: store.bundle(digest)])  # fmt: skip
def test_who_needs_a_tar_is_given_one(code, store, makes_tar):
    """Whoever waits for a tar, or asks for one later, has a file that is one; it is made once."""
    trusted(store.pack(str(code)))
    taken = changed(code, store, "second")
    whole = makes_tar(store, str(code), taken.digest)
    written = Path(whole.location).stat().st_ino

    assert (WHOLE, taken.digest) == (Path(whole.location).suffix, whole.digest)
    assert Path(whole.location).read_bytes().startswith(tar_of(taken))
    assert whole == store.bundle(taken.digest)
    assert written == Path(whole.location).stat().st_ino


def test_what_one_borrows_stays_when_its_snapshot_is_dropped(code, store, clock, tmp_path):
    """The base outlives the snapshot that it was of; both go when nobody needs what borrows from it."""
    first = trusted(store.pack(str(code)))
    taken = changed(code, store, "second")
    clock.advance(GRACE + timedelta(minutes=5))
    store.keep_only({taken.digest})
    kept = suffixes(tmp_path / "store")
    with pytest.raises(NotFound):
        store.bundle(first.digest)
    whole = store.bundle(taken.digest)
    store.keep_only({taken.digest})

    assert [BASE, BORROWS] == kept
    assert b"second" in Path(whole.location).read_bytes()
    assert [WHOLE] == suffixes(tmp_path / "store")


def test_one_whose_base_was_cut_short_counts_as_dropped(code, store):
    """After a crash of the machine it is not there, and the next snapshot borrows nothing from it."""
    first = trusted(store.pack(str(code)))
    taken = changed(code, store, "second")
    os.truncate(first.location, 1_000)
    with pytest.raises(NotFound):
        store.bundle(taken.digest)
    again = store.packing(str(code)).taken()

    assert (taken.digest, WHOLE) == (again.digest, Path(again.location).suffix)


@pytest.mark.parametrize("text", ["x" * len(BIG), None])
def test_nothing_is_borrowed_where_much_differs(code, store, text):
    """Where much has changed, or little is left of what there was, the archive is a whole one."""
    trusted(store.pack(str(code)))
    if text is None:
        (code / "big").write_text("little")
    taken = changed(code, store, text or "second")

    assert WHOLE == Path(taken.location).suffix


def test_what_changes_piles_up_until_a_whole_one_is_made(code, store):
    """No archive holds a fifth of a folder's bytes itself and borrows the rest."""
    trusted(store.pack(str(code)))
    kinds = []
    for number in range(8):
        (code / f"new{number}").write_bytes(bytes([number]) * 9_000)
        kinds.append(Path(trusted(store.packing(str(code)).taken()).location).suffix)

    assert [BORROWS, BORROWS, WHOLE] == kinds[:3]
    assert BORROWS in kinds[3:]


def test_little_is_copied(code, tmp_path):
    """What is copied in no time is not borrowed, unless said otherwise."""
    store = TarCodeStore(tmp_path / "store")
    trusted(store.pack(str(code)))

    assert WHOLE == Path(changed(code, store, "second").location).suffix


def test_where_nothing_can_have_two_names_nothing_is_lent(code, store, tmp_path):
    """A base that can't be given another name is not lent."""
    first = Path(store.pack(str(code)).location)
    contents = read_contents(first)
    assert contents is not None
    with closing(Tar(first, contents)) as tar:
        assert not tar.lends(tmp_path / "nowhere" / "name")
        assert tar.lends(tmp_path / "name")


@pytest.mark.parametrize(
    ("trouble", "told"), [(Stopped(), Stopped), (OSError(errno.ENOSPC, "full"), NoRoom)]
)
def test_one_that_was_not_finished_leaves_nothing(code, store, tmp_path, trouble, told):
    """Neither an archive nor a name of its base is left where nobody wants it any more, or the disk is full."""

    def begun(archive: Path | None) -> Callable[[int], None]:
        def tell(_size: int) -> None:
            raise trouble

        assert archive is None
        return tell

    trusted(store.pack(str(code)))
    (code / "a").write_text("second")
    with pytest.raises(told):
        store._pack(str(code), begun, may_borrow=lambda: True)

    assert [WHOLE] == suffixes(tmp_path / "store")
