"""Files as a stream and back: what survives, what is refused, and what a broken stream leaves behind."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow_adapters.copying import stream
from flow_adapters.copying.stream import Receiving, Refused, Sending, line

SCRIPT = Path(stream.__file__)
NAMES = st.text(
    st.characters(blacklist_characters="/\0", blacklist_categories=("Cs",)), min_size=1, max_size=20
).filter(lambda name: name not in (".", "..") and len(name.encode()) < 200)


def moved(
    sources: list[Path], target: str, *, recursive: bool = True, into: bool = False, piece: int = 7
):
    """A stream sent and received in pieces of an odd size."""
    receiving = Receiving(target, into)
    data = b"".join(Sending([str(each) for each in sources], recursive))
    for start in range(0, len(data), piece):
        receiving.feed(data[start : start + piece])
    receiving.end()
    return receiving


def listing(root: Path) -> dict[str, object]:
    """Everything below `root`: mode, time and content, or where a link leads."""
    found: dict[str, object] = {}
    for path in sorted(root.rglob("*")):
        there = path.lstat()
        what = (
            str(path.readlink())
            if path.is_symlink()
            else path.read_bytes()
            if path.is_file()
            else None
        )
        kept = () if path.is_symlink() else (stat.S_IMODE(there.st_mode), there.st_mtime_ns)
        found[path.relative_to(root).as_posix()] = (what, *kept)
    return found


def names(folder: Path) -> list[str]:
    """What lies in a folder."""
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def tree(tmp_path) -> Path:
    """A folder with all that may travel."""
    root = tmp_path / "from" / "tree"
    (root / "deep" / "empty").mkdir(parents=True)
    (root / "deep" / "a name\nwith 'lines' $x").write_bytes(bytes(range(256)))
    (root / "none").write_bytes(b"")
    (root / "run").write_text("#!/bin/sh\n")
    (root / "run").chmod(0o751)
    (root / "link").symlink_to("run")
    (root / "dangling").symlink_to("/no/such/place")
    os.close(os.open(os.fsencode(root) + b"/no-\xff-text", os.O_CREAT | os.O_WRONLY, 0o600))
    for path in [root / "none", root / "run", root / "deep" / "empty", root / "deep", root]:
        os.utime(path, ns=(10**18, 10**18 + 123_456_789))
    (root / "deep").chmod(0o555)
    yield root
    (root / "deep").chmod(0o755)


def test_a_folder_arrives_as_it_was(tree, tmp_path):
    """Contents, modes, times to the nanosecond, links, empty and read-only folders and odd names survive."""
    (tmp_path / "to").mkdir()
    receiving = moved([tree], str(tmp_path / "to"))

    assert listing(tree) == listing(tmp_path / "to" / "tree")
    assert tree.stat().st_mtime_ns == (tmp_path / "to" / "tree").stat().st_mtime_ns
    assert [] == receiving.troubles
    assert 4 == receiving.files
    assert receiving.total == receiving.bytes
    (tmp_path / "to" / "tree" / "deep").chmod(0o755)


def test_where_things_land(tree, tmp_path):
    """One thing gets the target's name unless that is a folder; a slash or several things make it one."""
    file = tree / "run"
    moved([file], str(tmp_path / "renamed"))
    moved([file], str(tmp_path / "made") + "/")
    moved([file, tree / "none"], str(tmp_path / "several"), into=True)
    moved([tree], str(tmp_path / "copy"))
    moved([tree / "."], str(tmp_path / "contents"))

    assert (tmp_path / "renamed").is_file()
    assert ["run"] == names(tmp_path / "made")
    assert ["none", "run"] == names(tmp_path / "several")
    assert names(tree) == names(tmp_path / "copy")
    assert names(tree) == names(tmp_path / "contents")
    with pytest.raises(Refused, match="there is no folder"):
        moved([file], str(tmp_path / "no" / "such" / "name"))
    for each in ("copy", "contents"):
        (tmp_path / each / "deep").chmod(0o755)


def test_a_link_that_is_named_is_followed(tree, tmp_path):
    """A link on the command line means what it leads to; links in folders stay links."""
    moved([tree / "link"], str(tmp_path / "named"))

    assert not (tmp_path / "named").is_symlink()
    assert "#!/bin/sh\n" == (tmp_path / "named").read_text()


@settings(max_examples=40)
@given(
    st.dictionaries(NAMES, st.binary(max_size=300), min_size=1, max_size=6), st.integers(1, 5000)
)
def test_any_names_and_contents(tmp_path_factory, files, piece):
    """Whatever files are called and hold, and however the stream is cut, they arrive."""
    root = tmp_path_factory.mktemp("from") / "tree"
    target = tmp_path_factory.mktemp("to")
    root.mkdir()
    for name, content in files.items():
        (root / name).write_bytes(content)
    moved([root], str(target), piece=piece)

    assert listing(root) == listing(target / "tree")


def test_a_broken_stream_leaves_whole_files(tree, tmp_path):
    """A stream cut anywhere leaves files that are whole, no others, and says so."""
    data = b"".join(Sending([str(tree)], True))
    whole = listing(tree)
    for cut in range(0, len(data) - 1, 13):
        target = tmp_path / f"cut-{cut}"
        target.mkdir()
        receiving = Receiving(str(target), False)
        receiving.feed(data[:cut])
        with pytest.raises(Refused, match="broke off"):
            receiving.end()
        found = listing(target / "tree")
        contents = {name: each[0] for name, each in found.items()}
        assert {name: whole[name][0] for name in found} == contents
        if (target / "tree" / "deep").exists():
            (target / "tree" / "deep").chmod(0o755)


@pytest.mark.parametrize(
    "path", [["..", "x"], ["/etc", "x"], ["a/../../x"], [""], ["."], ["never", "x"], [], [1], ["a\0b"]]
)  # fmt: skip
def test_no_name_leads_outside(tmp_path, path):
    """Names that would leave the target, or come without their folder, are refused; nothing is written."""
    (tmp_path / "to").mkdir()
    receiving = Receiving(str(tmp_path / "to"), True)
    with pytest.raises(Refused):
        receiving.feed(line(kind="file", path=path, mode=0o644, mtime=0, size=1) + b"x")

    assert {"to": None} == {name: each[0] for name, each in listing(tmp_path).items()}


@pytest.mark.parametrize("first", ["link", "there"])
def test_nothing_is_written_through_a_link(tmp_path, first):
    """A link of the stream's own, or one that lies there, is no folder to write in; a file replaces it."""
    outside, target = tmp_path / "outside", tmp_path / "to"
    outside.mkdir()
    target.mkdir()
    receiving = Receiving(str(target), True)
    if first == "link":
        receiving.feed(line(kind="link", path=["x"], to=str(outside)))
    else:
        (target / "x").symlink_to(outside)
    with pytest.raises(Refused, match="is no folder"):
        receiving.feed(line(kind="folder", path=["x"], mode=0o755, mtime=0))
    file = (
        line(kind="file", path=["x"], mode=0o644, mtime=0, size=2)
        + b"hi"
        + line(kind="over", why="")
    )
    receiving.feed(file)

    assert [] == names(outside)
    assert "hi" == (target / "x").read_text()
    assert not (target / "x").is_symlink()


def _fed(receiving: Receiving, data: bytes) -> None:
    receiving.feed(data)
    receiving.end()


@pytest.mark.parametrize(
    "data",
    [
        b"not json\n", b"[1]\n", b'{"kind": "new"}\n', b'{"kind": "over", "why": ""}\n', b"\xff\n",
        line(kind="end") + b"more", b"x" * (2 << 20),
        line(kind="file", path=["x"], mode=0, mtime=0, size=-1),
        line(kind="file", path=["x"], mode=0, mtime=0, size=0) + line(kind="end"),
    ],
)  # fmt: skip
def test_what_is_no_copy_is_refused(tmp_path, data):
    """Bytes that no sender writes are refused, and nothing is left behind."""
    receiving = Receiving(str(tmp_path), True)
    with pytest.raises(Refused):
        _fed(receiving, data)
    receiving.abandon()

    assert [] == names(tmp_path)


def test_a_file_that_changes_while_it_is_read(tmp_path):
    """A file that is cut or written to on the way doesn't arrive, is told by name, and the others do."""
    for name in ("cut", "grown", "still"):
        (tmp_path / name).write_bytes(bytes(3 << 20))
    pieces = iter(Sending([str(tmp_path / name) for name in ("cut", "grown", "still")], False))
    receiving = Receiving(str(tmp_path / "to"), True)
    receiving.feed(next(pieces))
    (tmp_path / "cut").write_bytes(b"short")
    for piece in pieces:
        receiving.feed(piece)
        if (tmp_path / "grown").stat().st_size == 3 << 20 and receiving.bytes > 4 << 20:
            with (tmp_path / "grown").open("ab") as file:
                file.write(b"more")
    receiving.end()

    assert [
        "cut was cut while it was read",
        "grown changed while it was read",
    ] == receiving.troubles
    assert ["still"] == names(tmp_path / "to")


def test_what_is_no_file(tmp_path):
    """A pipe is left out and told; a folder is without -r; what isn't there is told too."""
    folder = tmp_path / "folder"
    folder.mkdir()
    os.mkfifo(folder / "pipe")
    (folder / "file").write_text("x")
    deep = moved([folder], str(tmp_path / "to"))
    flat = moved([folder, tmp_path / "gone"], str(tmp_path / "flat"), recursive=False, into=True)

    assert ["folder/pipe is neither file, folder nor link"] == deep.troubles
    assert ["file"] == names(tmp_path / "to")
    assert ["folder is a folder, and -r copies those"] == flat.troubles[:1]
    assert "gone can't be read: No such file" in flat.troubles[1]


def test_a_folder_is_not_replaced_by_a_file(tmp_path):
    """Where a folder lies, no file takes its place; where a file lies, no folder."""
    (tmp_path / "to" / "x").mkdir(parents=True)
    (tmp_path / "to" / "y").write_text("kept")
    (tmp_path / "x").write_text("")
    (tmp_path / "y").mkdir()
    for name, words in (("x", "x is a folder"), ("y", "y is no folder")):
        with pytest.raises(Refused, match=words):
            moved([tmp_path / name], str(tmp_path / "to"))

    assert "kept" == (tmp_path / "to" / "y").read_text()


def test_what_runs_on_a_node(tree, tmp_path):
    """Both ends work as a node runs them, patterns included; it uses nothing newer than Python 3.8."""
    vermin = [str(Path(sys.executable).with_name("vermin")), "--target=3.8-", "--violations"]
    checked = subprocess.run([*vermin, str(SCRIPT)], capture_output=True, text=True, check=False)
    end = [sys.executable, "-I", "-c", SCRIPT.read_text()]
    sent = subprocess.run(
        [*end, "send", "plain", str(tree / "[nr]*n*")], capture_output=True, check=True
    ).stdout
    (tmp_path / "to").mkdir()
    got = subprocess.run([*end, "receive", str(tmp_path / "to"), "into"], input=sent, check=False)
    torn = subprocess.run(
        [*end, "receive", str(tmp_path / "to"), "into"], input=sent[:-5], capture_output=True, check=False
    )  # fmt: skip

    assert 0 == checked.returncode, checked.stdout
    assert 0 == got.returncode
    assert ["none", "run"] == names(tmp_path / "to")
    assert (1, True) == (torn.returncode, b"broke off" in torn.stderr)
    assert json.loads(sent.splitlines()[0])["kind"] == "total"
