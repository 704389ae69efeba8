"""An upload makes a folder hold the bundle's files, and touches nothing else."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from flow_core.domain.code import Bundle
from flow_core.ports.shell import NodeEvent, NodeExit, NodeLost
from flow_providers.mock.shell import ProcessShell
from tests.mock.hosts import NOW, Host, node_of
from tests.node.kit import Bell

Entry = tuple[str, str | bytes, int]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A host with one node that is up."""
    host = Host(tmp_path / "cloud")
    bell = Bell(tmp_path / "ready")
    host.boot("n", f"{bell.ring}; sleep 60")
    bell.wait()
    yield host
    bell.close()
    host.close()


def bundle(folder: Path, *entries: Entry, digest: str = "d", mode: str = "w") -> Bundle:
    """A bundle of files (bytes), folders ('dir'), symlinks ('-> there'), hard links ('= there'), pipes ('fifo')."""
    place = folder / f"{digest}.tar"
    with tarfile.open(place, mode) as tar:
        for name, content, bits in entries:
            member = tarfile.TarInfo(name)
            member.mode = bits
            if isinstance(content, bytes):
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
                continue
            kinds = {"dir": tarfile.DIRTYPE, "fifo": tarfile.FIFOTYPE}
            member.type = kinds.get(
                content, tarfile.SYMTYPE if content.startswith("->") else tarfile.LNKTYPE
            )
            member.linkname = "" if content in kinds else content.split(" ", 1)[1]
            tar.addfile(member)
    return Bundle(digest=digest, location=str(place), files=len(entries), bytes=0)


def sent(host: Host, what: Bundle, target: str = ".") -> list[NodeEvent]:
    """What an upload to the node says."""
    return list(ProcessShell(host.nodes).upload([node_of("n")], what, target=target))


def reason(events: list[NodeEvent]) -> str:
    """Why the one node was not served."""
    (event,) = events
    assert isinstance(event, NodeLost)
    return event.reason


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_files_arrive_as_they_were(host, tmp_path, mode):
    """Contents, executable bits, symlinks, hard links, odd names and empty folders are the bundle's."""
    entries: list[Entry] = [
        ("empty", "dir", 0o755),
        ("src/train.py", b"print()", 0o644),
        ("src/tool", b"#!/bin/sh\n", 0o755),
        ("link", "-> src/train.py", 0o777),
        ("away", "-> /models/x", 0o777),
        ("twin", "= src/train.py", 0o644),
        ("odd \udcff\nname", b"odd", 0o600),
    ]
    events = sent(host, bundle(tmp_path, *entries, mode=mode))
    disk = host.disk("n")

    assert [NodeExit(node_of("n"), 0)] == events
    assert (disk / "empty").is_dir()
    assert (b"print()", b"print()") == (
        (disk / "src/train.py").read_bytes(),
        (disk / "twin").read_bytes(),
    )
    assert (0o644, 0o755) == tuple(
        (disk / "src" / name).stat().st_mode & 0o777 for name in ("train.py", "tool")
    )
    assert ("src/train.py", "/models/x") == (
        str((disk / "link").readlink()),
        str((disk / "away").readlink()),
    )
    assert b"odd" == (disk / "odd \udcff\nname").read_bytes()


def test_files_of_the_same_name_are_replaced_and_others_stay(host, tmp_path):
    """A newer bundle's files win, whatever kind stood there; the rest of the folder is left alone."""
    sent(
        host,
        bundle(
            tmp_path, ("a", b"1", 0o644), ("b/c", b"1", 0o644), ("d", "-> /", 0o777), digest="one"
        ),
    )
    (host.disk("n") / "mine").write_text("kept")
    sent(
        host,
        bundle(
            tmp_path, ("a/x", b"2", 0o644), ("b", b"2", 0o644), ("d/y", b"2", 0o644), digest="two"
        ),
    )
    disk = host.disk("n")

    assert (b"2", b"2", b"2") == tuple((disk / name).read_bytes() for name in ("a/x", "b", "d/y"))
    assert "kept" == (disk / "mine").read_text()
    assert not Path("/y").exists()


def test_a_second_upload_of_the_same_sends_nothing(host, tmp_path):
    """What the command changed since stays, until other content comes."""
    first = bundle(tmp_path, ("a", b"1", 0o644), digest="one")
    sent(host, first)
    (host.disk("n") / "a").write_text("changed")

    assert [NodeExit(node_of("n"), 0)] == sent(host, first)
    assert "changed" == (host.disk("n") / "a").read_text()
    sent(host, bundle(tmp_path, ("a", b"2", 0o644), digest="two"))
    sent(host, first)
    assert "1" == (host.disk("n") / "a").read_text()


def test_a_target_may_be_anywhere_on_the_nodes_disk(host, tmp_path):
    """A path from the workspace or an absolute one below the node's home is made and filled."""
    files = bundle(tmp_path, ("a", b"1", 0o644))
    home = host.nodes.folder("n") / "home"
    sent(host, files, "deep/er")
    sent(host, files, str(home / "elsewhere"))

    assert "1" == (host.disk("n") / "deep/er/a").read_text() == (home / "elsewhere/a").read_text()


@pytest.mark.parametrize("target", ["../../../x", "/flow-test-upload", "out"])
def test_a_target_elsewhere_on_this_machine_is_refused(host, tmp_path, target):
    """The mock never writes outside a node's folder, not through a link either."""
    (tmp_path / "outside").mkdir()
    (host.disk("n") / "out").symlink_to(tmp_path / "outside")

    assert f"{target} is neither on the node's disk nor in one of its mounts" == reason(
        sent(host, bundle(tmp_path, ("a", b"1", 0o644)), target)
    )
    assert [] == list((tmp_path / "outside").iterdir())


@pytest.mark.parametrize(
    "entries",
    [
        [("/flow-test-a", b"1", 0o644)],
        [("../a", b"1", 0o644)],
        [("x/../../a", b"1", 0o644)],
        [("x", "-> /tmp", 0o777), ("x/a", b"1", 0o644)],
        [("x", "-> ..", 0o777), ("x/y", "dir", 0o755)],
        [("a", "= ../../flow/state.json", 0o644)],
        [("a", "= nowhere", 0o644)],
        [("a", "fifo", 0o644)],
    ],
)
def test_an_archive_can_not_leave_its_target(host, tmp_path, entries):
    """Names and links that lead elsewhere are refused before the first file is written."""
    events = sent(host, bundle(tmp_path, ("first", b"1", 0o644), *entries))

    assert reason(events)
    assert [] == sorted(host.disk("n").iterdir()) or entries[0][1] == "= nowhere"


def test_a_broken_archive_is_told(host, tmp_path):
    """What isn't an archive, or isn't there, ends in a reason."""
    (tmp_path / "d.tar").write_bytes(os.urandom(2_000))
    here = Bundle(digest="d", location=str(tmp_path / "d.tar"), files=1, bytes=1)
    gone = Bundle(digest="e", location=str(tmp_path / "e.tar"), files=1, bytes=1)

    assert reason(sent(host, here))
    assert "e.tar" in reason(sent(host, gone))


def test_a_node_that_is_gone_holds_up_no_other(host, tmp_path):
    """A lost node is told with its reason; the others get their files."""
    host.boot("m", "true")
    host.nodes.lose("m", at=NOW)
    events = ProcessShell(host.nodes).upload(
        [node_of("m", 1), node_of("n")], bundle(tmp_path, ("a", b"1", 0o644)), target="."
    )

    assert [NodeLost(node_of("m", 1), "it was lost"), NodeExit(node_of("n"), 0)] == list(events)
