"""What the tests of uploads share: folders, their snapshots, and what an upload to one node comes to."""

from __future__ import annotations

import io
import stat
import tarfile
from pathlib import Path

import pytest
from attrs import evolve

from flow_adapters.contents import read_contents
from flow_adapters.packing import TarCodeStore
from flow_adapters.ssh import SshShell
from flow_core.domain.code import Bundle
from flow_core.ports.code import Packing
from flow_core.ports.shell import NodeExit, NodeLost
from tests.ssh.conftest import Answer

A_MINUTE_NS = 60_000_000_000


def packed(folder: Path, where: Path, *, digest: str = "d1") -> Bundle:
    """A bundle of everything in `folder`."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for path in sorted(folder.rglob("*")):
            tar.add(path, path.relative_to(folder).as_posix(), recursive=False)
    where.write_bytes(data.getvalue())
    return Bundle(digest=digest, location=str(where), files=0, bytes=0)


def uploaded(shell, node, bundle: Bundle | Packing, target: str = ".") -> NodeExit | NodeLost:
    """The one event that an upload to one node comes to."""
    (event,) = list(shell.upload([node], bundle, target=target))
    return event


@pytest.fixture(params=["by a connection of ours", "by OpenSSH"])
def shell(request, make_shell, node, tmp_path) -> SshShell:
    """A shell without a connection yet; OpenSSH's client is for nodes that are known."""
    if request.param == "by OpenSSH":
        assert 0 == Answer(make_shell(workspace=str(tmp_path / "met")), node, "true").code
        return make_shell()
    return make_shell(ssh=None)


@pytest.fixture
def tree(tmp_path) -> Path:
    """A folder with all that may travel."""
    root = tmp_path / "tree"
    (root / "deep" / "er").mkdir(parents=True)
    (root / "empty").mkdir()
    (root / "locked").mkdir()
    (root / "deep" / "er" / "a file's name\n$x").write_bytes(bytes(range(256)))
    (root / "locked" / "in").write_text("x")
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    (root / "link").symlink_to("run.sh")
    (root / "dangling").symlink_to("/no/such/place")
    (root / "locked").chmod(0o555)
    return root


def listing(root: Path) -> dict[str, object]:
    """Everything below `root` but our own folder: kind, permissions, contents."""
    found: dict[str, object] = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if name.split("/")[0] == ".flow-upload":
            continue
        mode = stat.S_IMODE(path.lstat().st_mode)
        if path.is_symlink():
            found[name] = str(path.readlink())
        else:
            found[name] = (mode, path.read_bytes() if path.is_file() else None)
    return found


@pytest.fixture
def store(tmp_path) -> TarCodeStore:
    """Where snapshots are kept."""
    return TarCodeStore(tmp_path / "store")


def cut_out(bundle: Bundle, name: str) -> Bundle:
    """The bundle with the bytes of one of its files made useless, so that sending them shows."""
    archive = Path(bundle.location)
    contents = read_contents(archive)
    assert contents is not None
    (member,) = [each for each in contents.members if each.path == name]
    data = bytearray(archive.read_bytes())
    data[member.start : member.start + member.length] = b"!" * member.length
    archive.write_bytes(data)
    return bundle


def trusted(bundle: Bundle) -> Bundle:
    """The snapshot as if its files had been old when they were read, so that the next doesn't read them anew."""
    archive = Path(bundle.location)
    contents = read_contents(archive)
    assert contents is not None
    own = archive.read_bytes()[: contents.size - sum(each[1] for each in contents.borrowed)]
    aged = archive.with_name("aged")
    aged.write_bytes(own + evolve(contents, began_ns=contents.began_ns + A_MINUTE_NS).footer())
    aged.replace(archive)
    return bundle
