"""`flow cp` as a whole process, over a real server."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.copying.test_stream import listing
from tests.ssh.cloud import PATIENCE_S, Cloud, flow, told


@pytest.fixture
def cloud(sshd, tmp_path) -> Cloud:
    """Two nodes that are one server, and so share a workspace."""
    (tmp_path / "workspace").mkdir()
    return Cloud(folder=str(tmp_path), key=str(sshd.user_key), ports=[sshd.port] * 2)


@pytest.fixture
def tree(tmp_path) -> Path:
    """A folder with modes, times, a link and odd names."""
    root = tmp_path / "here" / "it's a tree\n"
    (root / "empty").mkdir(parents=True)
    (root / "$(touch evil)").write_bytes(os.urandom(700_000))
    (root / "run").write_text("x")
    (root / "run").chmod(0o711)
    (root / "link").symlink_to("../run")
    for path in (root / "run", root / "empty", root):
        os.utime(path, ns=(10**18, 10**18 + 5))
    return root


def test_there_and_back(cloud, tree, tmp_path):
    """A folder goes there and comes back as it was: contents, modes, times, links, names with anything in them."""
    there = told(cloud, "cp", "-r", "--node", "1", str(tree), "train:sub dir/")
    back = told(cloud, "cp", "-r", f"train:sub dir/{tree.name}/", str(tmp_path / "back"))

    assert (0, 0) == (there[0], back[0]), there[2] + back[2]
    assert "✓ 2 files, 700.0 kB to node 1" in there[2]
    assert "from node 0" in back[2]
    assert listing(tree) == listing(tmp_path / "workspace" / "sub dir" / tree.name)
    assert listing(tree) == listing(tmp_path / "back")


def test_to_all_nodes_and_from_each(cloud, tmp_path):
    """Without --node every node gets the files; from several, each node's go to a folder of its rank."""
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    code, out, _ = told(cloud, "cp", str(tmp_path / "a"), str(tmp_path / "b"), "train:in", "--json")
    document = json.loads(out)
    back = told(cloud, "cp", "--node", "0,1", "train:in/*", str(tmp_path / "got"))

    assert 0 == code
    assert {"0", "1"} == set(document["nodes"])
    assert [2, 2] == [each["files"] for each in document["nodes"].values()]
    assert 0 == back[0], back[2]
    names = {
        path.relative_to(tmp_path / "got").as_posix() for path in (tmp_path / "got").rglob("*")
    }
    assert {"0", "0/a", "0/b", "1", "1/a", "1/b"} == names


def test_mistakes_are_told_before_anything_is_sent(cloud, tmp_path):
    """What isn't here, folders without -r, and copies that are none end with 2."""
    for words in (["nowhere", "train:"], [str(tmp_path), "train:x"], ["a", "b"]):
        assert 2 == told(cloud, "cp", *words)[0]
    assert [] == list((tmp_path / "workspace").iterdir())


def test_what_the_node_has_not_got(cloud, tmp_path):
    """A path that isn't there, a folder without -r, and a target without its folder are told in one line each."""
    (tmp_path / "workspace" / "folder").mkdir()
    (tmp_path / "x").write_text("x")
    gone = told(cloud, "cp", "train:gone", str(tmp_path / "y"))
    flat = told(cloud, "cp", "train:folder", str(tmp_path / "y"))
    deep = told(cloud, "cp", str(tmp_path / "x"), "train:no/such/name", "--node", "1")

    assert (13, 13, 13) == (gone[0], flat[0], deep[0])
    assert "node 0: gone can't be read: No such file or directory" in gone[2]
    assert "node 0: folder is a folder, and -r copies those" in flat[2]
    assert "node 1: there is no folder no/such to put name in" in deep[2]
    assert not (tmp_path / "y").exists()


def test_a_lost_node_holds_up_nobody(cloud, sshd, tmp_path):
    """The node that answers gets its files; the one that doesn't is told, and the command ends with 15."""
    (tmp_path / "x").write_text("x")
    partly = Cloud(folder=str(tmp_path), key=str(sshd.user_key), ports=[1, sshd.port])
    code, _, err = told(partly, "cp", str(tmp_path / "x"), "train:")

    assert 15 == code
    assert "node 0 was lost: connection refused" in err
    assert "✓ 1 file, 1 B to node 1" in err
    assert "x" == (tmp_path / "workspace" / "x").read_text()


def test_a_copy_that_is_interrupted(cloud, tmp_path):
    """Ctrl-C leaves no half file, here or there; what was there under the name before still is."""
    (tmp_path / "workspace" / "big").write_text("old")
    (tmp_path / "big").write_text("old")
    huge = tmp_path / "huge"
    huge.mkdir()
    with (huge / "big").open("wb") as file:
        file.truncate(200 << 30)
    for words in (
        [str(huge / "big"), "train:big", "--node", "0"],
        [f"train:{huge}/big", str(tmp_path / "big")],
    ):
        process = flow(cloud, "cp", *words)
        folder = tmp_path / "workspace" if words[1].startswith("train") else tmp_path
        for _ in range(10_000_000):
            if list(folder.glob(".flow-cp-*")):
                break
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE_S)

        assert 130 == process.returncode
        assert [] == list(folder.glob(".flow-cp-*"))
        assert "old" == (folder / "big").read_text()
