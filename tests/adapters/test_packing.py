"""Snapshots of a folder: what goes in, what stays out, and what is said when it can't be taken."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import stat
import tarfile
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow_adapters.clocks import ManualClock, SystemClock
from flow_adapters.contents import Contents, Member
from flow_adapters.packing import GRACE, TarCodeStore
from flow_adapters.tarring import unchanged, write_tar
from flow_adapters.walking import Found, walk
from flow_core.errors import InvalidRequest, Misconfigured, NotFound

posix = pytest.mark.skipif(os.name != "posix", reason="modes and odd names are POSIX")


@pytest.fixture
def code(tmp_path):
    """A folder of code."""
    made = tmp_path / "code"
    made.mkdir()
    return made


@pytest.fixture
def store(tmp_path):
    """A store of snapshots."""
    return TarCodeStore(tmp_path / "store")


def fill(folder: Path, **files: str) -> None:
    """Write files; `__` in a name is a slash."""
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def names_in(location: str) -> list[str]:
    """What an archive holds."""
    with tarfile.open(location, encoding="utf-8", errors="surrogateescape") as archive:
        return archive.getnames()


def unpacked(location: str, target: Path) -> Path:
    """The folder that an archive unpacks to."""
    with tarfile.open(location, encoding="utf-8", errors="surrogateescape") as archive:
        archive.extractall(target, filter="fully_trusted")
    return target


def tree_of(folder: Path) -> dict[Path, tuple[int, object]]:
    """Everything in a folder: path -> mode and content or target."""
    found: dict[Path, tuple[int, object]] = {}
    for path in folder.rglob("*"):
        mode = path.lstat().st_mode
        content: object = None
        if stat.S_ISLNK(mode):
            content = path.readlink()
        elif not stat.S_ISDIR(mode):
            content = path.read_bytes()
        found[path.relative_to(folder)] = (mode, content)
    return found


def test_a_snapshot_holds_the_folder(code, store, tmp_path):
    """Files, empty folders, links and executable bits arrive as they were."""
    fill(code, train="x", src__a="1", src__run="#!")
    (code / "src" / "run").chmod(0o755)
    (code / "empty").mkdir()
    (code / "to").symlink_to("src/a")
    (code / "nowhere").symlink_to("/no/such/place")
    (code / "dir").symlink_to("src")
    bundle = store.pack(str(code))

    assert tree_of(code) == tree_of(unpacked(bundle.location, tmp_path / "out"))
    assert (6, 4) == (
        bundle.files,
        bundle.bytes - sum(map(len, ["src/a", "/no/such/place", "src"])),
    )
    assert bundle == store.bundle(bundle.digest)


odd_names = st.binary(min_size=1, max_size=9).filter(
    lambda name: not set(name) & {0, ord("/")} and not name.startswith(b".")
)


@posix
@settings(max_examples=25)
@given(
    tree=st.dictionaries(
        st.lists(odd_names, min_size=1, max_size=3).map(tuple),
        st.binary(max_size=600) | st.none(),
        max_size=5,
    )
)
def test_odd_names_survive(tmp_path_factory, tree):
    """Names of any bytes, newlines and other encodings included, come back, and so does each byte of content."""
    base = tmp_path_factory.mktemp("odd")
    code = base / "code"
    code.mkdir()
    for parts, content in tree.items():
        path = code.joinpath(*map(os.fsdecode, parts))
        with contextlib.suppress(FileExistsError, NotADirectoryError, IsADirectoryError):
            (path if content is None else path.parent).mkdir(parents=True, exist_ok=True)
            if content is not None:
                path.write_bytes(content)
    bundle = TarCodeStore(base / "store").pack(str(code))

    assert tree_of(code) == tree_of(unpacked(bundle.location, base / "out"))
    shutil.rmtree(base)


@posix
def test_long_names_survive(code, store, tmp_path):
    """Paths and link targets longer than a tar header's field come back."""
    deep = code.joinpath(*["d" * 60] * 4)
    deep.mkdir(parents=True)
    (deep / ("f" * 200)).write_text("x")
    (code / "link").symlink_to("t" * 200)
    bundle = store.pack(str(code))

    assert tree_of(code) == tree_of(unpacked(bundle.location, tmp_path / "out"))


def test_equal_content_is_one_archive(code, store, tmp_path):
    """Two folders with the same content, taken at different times, are one snapshot."""
    fill(code, a="1", b__c="2")
    twin = tmp_path / "elsewhere" / "twin"
    shutil.copytree(code, twin)
    os.utime(twin / "a", (1, 1))

    assert store.pack(str(code)) == store.pack(str(twin))
    assert 1 == len(list((tmp_path / "store").iterdir()))


@pytest.mark.parametrize(
    "change",
    [
        lambda code: (code / "a").write_text("2"),
        lambda code: (code / "a").rename(code / "A2"),
        lambda code: (code / "new").mkdir(),
        lambda code: (code / "link").unlink(),
        lambda code: ((code / "link").unlink(), (code / "link").symlink_to("b")),
        pytest.param(lambda code: (code / "a").chmod(0o755), marks=posix),
    ],
)
def test_each_difference_shows(code, store, change):
    """Content, names, folders, links and modes each change the digest."""
    fill(code, a="1")
    (code / "a").chmod(0o644)
    (code / "link").symlink_to("a")
    before = store.pack(str(code))
    change(code)

    assert before.digest != store.pack(str(code)).digest


def test_time_stays_with_a_file(code, store):
    """The archive keeps when a file was changed, which stale bytecode is told by."""
    fill(code, a="1")
    os.utime(code / "a", (1_700_000_000, 1_700_000_000))
    with tarfile.open(store.pack(str(code)).location) as archive:
        assert 1_700_000_000 == archive.getmember("a").mtime


def test_ignore_files_leave_things_out(code, store):
    """A .gitignore counts at each depth; .git never goes along."""
    fill(
        code,
        **{
            ".gitignore": "*.log\nbuild/\n",
            "a.log": "",
            "a.py": "",
            "build__x": "",
            ".git__HEAD": "",
        },
    )
    fill(
        code,
        **{
            "sub__.gitignore": "!keep.log\n",
            "sub__keep.log": "",
            "sub__b.log": "",
            "sub__.git": "gitdir",
        },
    )

    assert [".gitignore", "a.py", "sub", "sub/.gitignore", "sub/keep.log"] == names_in(
        store.pack(str(code)).location
    )


def test_a_flowignore_counts_instead(code, store):
    """With a .flowignore, what git ignores goes along, and nested ones of its kind count."""
    fill(code, **{".gitignore": "*.log\n", ".flowignore": "data/\n", "a.log": "", "data__x": ""})
    fill(
        code,
        **{"sub__.flowignore": "tmp\n", "sub__tmp": "", "sub__.gitignore": "x\n", "sub__x": ""},
    )

    assert [
        ".flowignore", ".gitignore", "a.log", "sub", "sub/.flowignore", "sub/.gitignore", "sub/x",
    ] == names_in(store.pack(str(code)).location)  # fmt: skip


def test_a_repositorys_rules_reach_down(code, store):
    """Packing a folder inside a repository minds the ignore files above it, up to the root and not beyond."""
    fill(code.parent, **{".gitignore": "*.txt\n"})
    fill(
        code,
        **{
            ".git__HEAD": "",
            ".gitignore": "*.log\n/deep/in/only\n",
            "deep__.gitignore": "!b.log\n",
        },
    )
    fill(code, **{f"deep__in__{name}": "" for name in ("a.log", "b.log", "only", "c.txt")})

    assert ["b.log", "c.txt"] == names_in(store.pack(str(code / "deep" / "in")).location)


def test_what_is_no_file_stays_behind(code, store):
    """Pipes and sockets are passed by, and so is the store itself when it lies inside."""
    fill(code, a="")
    if hasattr(os, "mkfifo"):
        os.mkfifo(code / "pipe")
    inside = TarCodeStore(code / "state")
    inside.pack(str(code))

    assert ["a"] == names_in(inside.pack(str(code)).location)


def test_a_folder_that_isnt_there_names_its_neighbour(code, store):
    """A misspelt folder leads to the nearest, a file to its folder."""
    fill(code, train="")
    with pytest.raises(InvalidRequest, match=r"nearest is '.*code'"):
        store.pack(str(code.with_name("coed")))
    with pytest.raises(InvalidRequest, match="is a file"):
        store.pack(str(code / "train"))
    with pytest.raises(InvalidRequest, match="there is no folder"):
        store.pack(str(code / "no" / "such"))


def test_too_much_is_refused_with_the_largest(code, tmp_path):
    """Over the limit nothing is taken, and the largest files and folders are named; a higher limit takes it."""
    fill(code, data__big="x" * 3000, data__small="x" * 10, other="x" * 2000)
    with pytest.raises(InvalidRequest) as caught:
        TarCodeStore(tmp_path / "store", limit_bytes=4_000).pack(str(code))

    assert "largest: data/ (0.0 MB), data/big (0.0 MB), other (0.0 MB)" in caught.value.message
    assert ".flowignore" in caught.value.hint
    assert 5_010 == TarCodeStore(tmp_path / "store", limit_bytes=6_000).pack(str(code)).bytes


class Disturbed:
    """An archive into which writing changes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, data: bytes) -> int:
        """Take nothing in, and let the file grow."""
        with self.path.open("ab") as file:
            file.write(b"!")
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""


def test_a_file_that_changes_is_noticed(code):
    """A file that is no longer what it was when its reading began is refused by name."""
    with (code / "a").open("wb") as file:
        file.truncate(30_000_000)  # more than waits to be written

    with pytest.raises(InvalidRequest, match="'a' changed while it was read"):
        write_tar(Disturbed(code / "a"), code, walk(code))


def test_what_cant_be_read_is_named(code):
    """A file that vanished, or may not be read, is told by name."""
    fill(code, a="", b="")
    found = walk(code)
    (code / "b").unlink()

    with pytest.raises(InvalidRequest, match="'b' can't be read"):
        write_tar(io.BytesIO(), code, found)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux's /proc")
def test_what_goes_while_it_is_looked_at_is_left_out():
    """A folder that names what is gone when it is looked at: this process's open files, one of which lists it."""
    found = [os.fsdecode(each.path) for each in walk(Path("/proc/self/fd"))]

    assert all(os.path.lexists(f"/proc/self/fd/{name}") for name in found)


def test_a_failure_leaves_nothing(code, tmp_path):
    """When a snapshot can't be taken, the store is as it was."""
    fill(code, a="x" * 100)
    store = TarCodeStore(tmp_path / "store")
    with contextlib.suppress(ValueError), store._begun() as (archive, _):
        archive.write(b"half")
        raise ValueError("halfway")

    assert [] == list((tmp_path / "store").iterdir())


def test_a_store_that_cant_be_made_is_named(code, tmp_path):
    """A file in the store's place is told as a setting to mend."""
    (tmp_path / "file").write_text("")
    with pytest.raises(Misconfigured, match="file/store"):
        TarCodeStore(tmp_path / "file" / "store").pack(str(code))


def test_what_nobody_needs_is_dropped(code, tmp_path):
    """Snapshots that aren't named go once they are an hour old; half-made ones too."""
    now = SystemClock().now()
    clock = ManualClock(now)
    store = TarCodeStore(tmp_path / "store", clock=clock)
    fill(code, a="1")
    first = store.pack(str(code))
    fill(code, a="2")
    second = store.pack(str(code))
    (tmp_path / "store" / ".packing-left").write_text("")
    store.keep_only({first.digest})
    kept_at_first = store.bundle(second.digest)
    clock.advance(GRACE + timedelta(minutes=5))
    store.keep_only({first.digest})

    assert second == kept_at_first
    assert [Path(first.location)] == list((tmp_path / "store").iterdir())
    with pytest.raises(NotFound):
        store.bundle(second.digest)


def test_a_snapshot_taken_again_is_young_again(code, tmp_path):
    """Packing the same content renews its hour."""
    clock = ManualClock(SystemClock().now())
    store = TarCodeStore(tmp_path / "store", clock=clock)
    fill(code, a="1")
    bundle = store.pack(str(code))
    os.utime(bundle.location, (1, 1))
    store.pack(str(code))
    store.keep_only(set())

    assert bundle == store.bundle(bundle.digest)


@pytest.mark.parametrize(
    ("changed_ns", "is_trusted"),
    [(-1, False), (-99_999_999, False), (-100_000_001, True), (-1_000_000_000, False),
     (-2_000_000_000, False), (-3_000_000_000, True)],
)  # fmt: skip
def test_what_was_new_when_it_was_read_is_read_anew(changed_ns: int, *, is_trusted: bool):
    """As with the same times it may have changed again: within a tenth of a second, or two whole ones."""
    began_ns = 1_700_000_000_000_000_000
    seen = (3, began_ns + changed_ns, began_ns - 10_000_000_001, 7)
    member = Member("a", 0o100644, "ab", 0, 1_024, seen)
    last = Contents(digest="d", began_ns=began_ns, members=(member,))

    assert [member if is_trusted else None] == unchanged([Found(b"a", 0o100644, 3, seen)], last)


def test_the_state_folder_is_never_read(tmp_path):
    """Flow's own state, where it lies inside the packed folder, is neither packed nor opened."""
    state = tmp_path / "state"
    state.mkdir()
    (state / "journal.sqlite-shm").write_bytes(b"locked")
    (tmp_path / "train.py").write_text("print(1)\n")

    bundle = TarCodeStore(state / "code", without=state).pack(str(tmp_path))

    with tarfile.open(bundle.location) as archive:
        assert ["train.py"] == archive.getnames()
