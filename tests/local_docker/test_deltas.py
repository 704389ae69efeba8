"""What is sent to a container that has an earlier snapshot: the node's own program, over pipes instead of an engine."""

from __future__ import annotations

import io
import json
import os
import stat
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_adapters.packing import TarCodeStore
from flow_adapters.tarring import header
from flow_core.domain.allocation import Node, NodeState
from flow_core.ports.shell import NodeExit
from flow_providers.local_docker.node import serve
from flow_providers.local_docker.node_files import node_file
from flow_providers.local_docker.shell import DockerShell
from tests.ssh.test_uploads import forged

NODE = Node(id="node", rank=0, state=NodeState.RUNNING)


class Pipes:
    """Talks to `serve.py`, which runs here; counts the bytes that were given it besides words."""

    def __init__(self, home: Path, *, is_first: bool = False, **env: str) -> None:
        self.sent = 0
        self.asked: list[str] = []
        self._is_first = is_first
        self.process = subprocess.Popen(
            [sys.executable, "-c", node_file("serve.py")],
            env={**os.environ, "FLOW_HOME": str(home), **env}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def is_fresh(self, node: Node) -> bool:
        """See `Talks.is_fresh`."""
        return self._is_first and not self.asked

    def ask(
        self, node: Node, words: str, given: Iterable[bytes] = ()
    ) -> tuple[dict[str, Any], bytes]:
        """See `Talks.ask`."""
        into, out = self.process.stdin, self.process.stdout
        assert into is not None
        assert out is not None
        self.asked.append(words.partition(" ")[0])
        into.write(words.encode() + b"\n")
        self.sent = 0
        for piece in given:
            self.sent += into.write(piece)
        into.flush()
        head = json.loads(out.readline())
        return head, out.read(head.pop("bytes"))


@pytest.fixture
def pipes(tmp_path: Path) -> Iterator[Pipes]:
    """A node's program, on this machine."""
    pipes = Pipes(tmp_path / "home")
    yield pipes
    pipes.process.communicate()


class Box:
    """A folder here, a folder there, and the way between."""

    def __init__(self, place: Path, pipes: Pipes) -> None:
        self.code, self.there = place / "code", place / "there"
        self.code.mkdir()
        self._store, self._pipes = TarCodeStore(place / "store"), pipes
        self._shell = DockerShell(None, pipes)  # type: ignore[arg-type]

    def bring(self) -> int:
        """Upload the folder, and return how many bytes that took."""
        bundle = self._store.pack(str(self.code))
        assert [NodeExit(NODE, 0)] == [*self._shell.upload([NODE], bundle, target=str(self.there))]
        return self._pipes.sent

    def files(self) -> dict[str, str]:
        """Return what files there hold."""
        return {
            path.relative_to(self.there).as_posix(): path.read_text()
            for path in self.there.rglob("*")
            if path.is_file()
        }


@pytest.fixture
def box(tmp_path: Path, pipes: Pipes) -> Box:
    """A box with a hundred files of two folders."""
    box = Box(tmp_path, pipes)
    for number in range(100):
        path = box.code / f"d{number % 2}" / f"f{number}"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{number}\n" * 100)
    return box


def test_only_what_changed_is_sent(box: Box):
    """Of a hundred files of which one has changed, one is sent; of none, nothing."""
    whole = box.bring()
    none = box.bring()
    (box.code / "d1" / "f7").write_text("new\n")
    one = box.bring()

    # A file, its folder and the tar's end, in blocks of 512 bytes.
    assert (0, 2 * 512 + 512 + 1_024) == (none, one)
    assert whole > 100 * 1_024
    assert 100 == len(box.files())
    assert "new\n" == box.files()["d1/f7"]


def test_what_is_gone_here_goes_there_unless_it_was_changed(box: Box):
    """A file and a folder that are no longer in the code go; results, and a file that was changed there, stay."""
    (box.code / "only").mkdir()
    (box.code / "only" / "one").write_text("one")
    box.bring()
    (box.there / "d0" / "f2").write_text("a result")
    (box.there / "d0" / "made").write_text("made")
    for path in (box.code / "d0").iterdir():
        path.unlink()
    (box.code / "d0").rmdir()
    (box.code / "only" / "one").unlink()
    (box.code / "only").rmdir()
    box.bring()

    left = {name: text for name, text in box.files().items() if not name.startswith("d1/")}
    assert {"d0/f2": "a result", "d0/made": "made"} == left
    assert not (box.there / "only").exists()


def test_what_was_changed_there_is_brought_back(box: Box):
    """What a command changed or removed is as in the code after the next change, along with what changed."""
    box.bring()
    (box.there / "d0" / "f0").write_text("spoilt")
    (box.there / "d0" / "f2").unlink()
    (box.code / "d1" / "f1").write_text("new\n")
    box.bring()

    files = box.files()
    assert ("0\n" * 100, "2\n" * 100, "new\n") == (files["d0/f0"], files["d0/f2"], files["d1/f1"])


def test_files_and_folders_change_places(box: Box):
    """A folder that is a file now, and a file that is a folder now, are so there."""
    box.bring()
    for path in (box.code / "d0").iterdir():
        path.unlink()
    (box.code / "d0").rmdir()
    (box.code / "d0").write_text("a file")
    (box.code / "d1" / "f1").unlink()
    (box.code / "d1" / "f1").mkdir()
    (box.code / "d1" / "f1" / "in").write_text("inside")
    box.bring()

    assert "a file" == (box.there / "d0").read_text()
    assert "inside" == (box.there / "d1" / "f1" / "in").read_text()


def test_nothing_is_removed_through_a_link(box: Box, tmp_path: Path):
    """A folder that a command made a link to elsewhere has nothing taken from there, and is a folder again."""
    box.bring()
    elsewhere = tmp_path / "elsewhere"
    (box.there / "d0").rename(elsewhere)
    (box.there / "d0").symlink_to(elsewhere)
    (box.code / "d0" / "f0").unlink()
    (box.code / "d0" / "f2").write_text("new")
    box.bring()

    assert "0\n" * 100 == (elsewhere / "f0").read_text()
    assert "2\n" * 100 == (elsewhere / "f2").read_text()
    assert "new" == (box.there / "d0" / "f2").read_text()


def test_an_upload_that_broke_is_repeated_whole(box: Box, pipes: Pipes, tmp_path: Path):
    """After an archive that could not be unpacked all is sent again, and what earlier ones brought goes with it."""
    box.bring()
    (box.code / "d0" / "f0").unlink()
    bad = forged(tmp_path / "bad.tar", [("d0/f2", b"half", ""), ("../out", b"x", "")])
    [lost] = [*DockerShell(None, pipes).upload([NODE], bad, target=str(box.there))]  # type: ignore[arg-type]
    again = box.bring()

    assert "would land outside" in getattr(lost, "reason", "")
    assert again > 99 * 1_024
    assert 99 == len(box.files())
    assert not (tmp_path / "out").exists()


def test_a_node_that_is_made_just_now_is_not_asked_what_it_has(tmp_path: Path):
    """Its first process is sent all of the code at once; from then on it is asked as any other."""
    pipes = Pipes(tmp_path / "home", is_first=True)
    box = Box(tmp_path, pipes)
    (box.code / "f").write_text("text")
    box.bring()
    box.bring()
    pipes.process.communicate()

    assert ["unpack", "known"] == pipes.asked
    assert {"f": "text"} == box.files()


@pytest.mark.parametrize("is_first", [False, True])
def test_a_workspace_that_is_the_code_is_left_as_it_is(tmp_path: Path, is_first: bool):
    """Where the user's own folder is mounted nothing is written, whatever comes."""
    pipes = Pipes(tmp_path / "home", is_first=is_first, FLOW_LIVE="yes")
    box = Box(tmp_path, pipes)
    box.there.mkdir()
    (box.there / "f").write_text("newer")
    (box.code / "f").write_text("text")
    box.bring()
    box.bring()
    pipes.process.communicate()

    assert {"f": "newer"} == box.files()


NAMES = st.binary(min_size=1, max_size=300).map(lambda raw: raw.replace(b"\0", b"0"))


@given(
    st.lists(
        st.tuples(
            NAMES,
            st.sampled_from([stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK]),
            st.integers(0, 0o777),
            st.binary(max_size=1_100),
            st.integers(-(1 << 40), 1 << 40),
            NAMES,
        ),
        max_size=4,
    )
)
def test_an_archive_is_read_as_tarfile_reads_it(
    told: list[tuple[bytes, int, int, bytes, int, bytes]],
):
    """Names of any length and bytes, and times before 1970 and far off, are what they were."""
    archive = b""
    for name, kind, mode, data, at, link in told:
        data = data if kind == stat.S_IFREG else b""
        target = link if kind == stat.S_IFLNK else b""
        archive += header(name, kind | mode, len(data), at, target) + data + bytes(-len(data) % 512)
    archive += bytes(1_024)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        expected = [
            (each.name, each.mode, each.type, each.mtime, each.linkname, content(tar, each))
            for each in tar
        ]
    source = Given(archive)
    found = [
        (
            each.name.rstrip("/") if each.kind == tarfile.DIRTYPE else each.name,
            each.mode,
            each.kind,
            each.time,
            each.link,
            source.exactly(each.size),
        )
        for each in serve.members(source)
    ]

    assert expected == found


class Given(serve.Taken):
    """An archive that doesn't come over standard input."""

    def __init__(self, archive: bytes) -> None:
        super().__init__(len(archive))
        self._stream = io.BytesIO(archive)

    def read(self, count: int) -> bytes:
        """See `Taken.read`."""
        return self._stream.read(count)


def content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """Return a member's bytes; none where it is no file."""
    file = tar.extractfile(member) if member.isfile() else None
    return file.read() if file is not None else b""


@pytest.mark.parametrize(
    "spoilt", [b"x" * 512, header(b"f", stat.S_IFREG | 0o644, 9, 0) + b"short"]
)
def test_what_is_no_whole_archive_is_told(tmp_path: Path, pipes: Pipes, spoilt: bytes):
    """Bytes of something else, and an archive whose end didn't come, are no code; the conversation goes on."""
    asked = {
        "target": str(tmp_path / "there"),
        "digest": "d",
        "size": len(spoilt),
        "complete": False,
        "gone": [],
    }
    head, _ = pipes.ask(NODE, f"unpack {json.dumps(asked)}", [spoilt])

    assert "archive" in head["lost"]
    assert {} == pipes.ask(NODE, "report")[0]
