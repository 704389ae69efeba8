"""Uploads: what lands on a node, what is left alone, and what a broken one leaves behind."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import tarfile
from contextlib import suppress
from pathlib import Path

import pytest

from flow_adapters.node_texts import with_looks
from flow_core.domain.code import Bundle
from flow_core.ports.shell import NodeExit, NodeLost
from tests.ssh.conftest import a_node
from tests.ssh.uploads import cut_out, listing, packed, shell, store, tree, uploaded

__all__ = ["shell", "store", "tree"]

UNPACK = Path(__file__).resolve().parents[2] / "flow_adapters" / "ssh" / "unpack.py"


def forged(where: Path, members: list[tuple[str, bytes, str]]) -> Bundle:
    """A bundle that no packer of ours would write: names, bytes, and link targets as given."""
    with tarfile.open(where, "w") as tar:
        for name, data, link in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            if link:
                info.type, info.linkname = tarfile.SYMTYPE, link
            tar.addfile(info, io.BytesIO(data))
    return Bundle(digest="forged", location=str(where), files=0, bytes=0)


def test_files_arrive_as_they_were(shell, node, tree, tmp_path):
    """Contents, executable bits, links, empty and read-only folders and odd names arrive; the rest stays."""
    workspace = tmp_path / "workspace"
    (workspace / "deep").mkdir(parents=True)
    (workspace / "deep" / "own").write_text("stays")
    (workspace / "run.sh").write_text("old")
    event = uploaded(shell, node, packed(tree, tmp_path / "a.tar"))

    assert NodeExit(node, 0) == event
    assert {**listing(tree), "deep/own": (0o644, b"stays")} == listing(workspace)


def test_the_same_bundle_is_not_sent_again(shell, node, tree, tmp_path):
    """A second upload needs no archive and changes nothing; another bundle does."""
    bundle = packed(tree, tmp_path / "a.tar")
    first = uploaded(shell, node, bundle, "x")
    Path(bundle.location).unlink()
    (tmp_path / "workspace" / "x" / "run.sh").write_text("edited on the node")
    second = uploaded(shell, node, bundle, "x")
    other = uploaded(shell, node, Bundle(digest="d2", location=bundle.location, files=0, bytes=0))

    assert [NodeExit(node, 0)] * 2 == [first, second]
    assert "edited on the node" == (tmp_path / "workspace" / "x" / "run.sh").read_text()
    assert isinstance(other, NodeLost)
    assert bundle.location in other.reason


def test_nothing_is_written_outside(shell, node, tmp_path):
    """Absolute names, `..`, links out of the folder and what lies behind them touch nothing outside."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    members = [
        ("../outside/a", b"x", ""),
        (f"{outside}/b", b"x", ""),
        ("out", b"", str(outside)),
        ("out/c", b"x", ""),
    ]
    uploaded(shell, node, forged(tmp_path / "f.tar", members))

    assert {"kept": (0o644, b"kept")} == listing(outside)


def test_a_link_on_the_node_is_not_followed(shell, node, tmp_path):
    """A link where the bundle has a folder or a file is replaced; what it led to is untouched."""
    outside, tree, workspace = (tmp_path / name for name in ("outside", "tree", "workspace"))
    for folder in (outside, tree / "data", workspace):
        folder.mkdir(parents=True)
    (outside / "kept").write_text("kept")
    (tree / "data" / "kept").write_text("new")
    (tree / "file").write_text("new")
    (workspace / "data").symlink_to(outside)
    (workspace / "file").symlink_to(outside / "kept")
    event = uploaded(shell, node, packed(tree, tmp_path / "a.tar"))

    assert NodeExit(node, 0) == event
    assert "kept" == (outside / "kept").read_text()
    assert listing(tree) == listing(workspace)


def test_a_folder_is_not_replaced_by_a_file(shell, node, tmp_path):
    """Where the node has a folder and the bundle a file, the upload fails by name and the folder stays."""
    tree, workspace = tmp_path / "tree", tmp_path / "workspace"
    tree.mkdir()
    (workspace / "x").mkdir(parents=True)
    (tree / "x").write_text("file")
    event = uploaded(shell, node, packed(tree, tmp_path / "a.tar"))

    assert isinstance(event, NodeLost)
    assert "x: Is a directory" in event.reason
    assert (workspace / "x").is_dir()


@pytest.mark.parametrize("missing", [1024, 10240])
def test_a_cut_archive_changes_nothing(shell, node, tmp_path, missing):
    """An archive that stops early, between two files too, is refused, and the folder is as before."""
    tree = tmp_path / "tree"
    tree.mkdir()
    for each in range(20):
        (tree / f"f{each:02}").write_bytes(bytes(512))
    bundle = packed(tree, tmp_path / "a.tar")
    data = Path(bundle.location).read_bytes()
    pipe = tmp_path / "pipe.tar"
    head = json.dumps({"size": len(data)}).encode() + b"\n"
    pipe.write_bytes(head + data[: len(data) - missing])
    script = with_looks(UNPACK)
    workspace = tmp_path / "workspace"
    with pipe.open("rb") as stdin:
        run = subprocess.run(
            [sys.executable, "-c", script, str(workspace), "d1"],
            stdin=stdin, capture_output=True, text=True, check=False,
        )  # fmt: skip

    assert 1 == run.returncode
    assert f"{len(data) - missing} of the archive's {len(data)} bytes came" in run.stderr
    assert {} == listing(workspace)
    assert NodeExit(node, 0) == uploaded(shell, node, bundle)
    assert 20 == len(listing(workspace))


def test_an_archive_that_is_none(shell, node, tmp_path):
    """Bytes that are no archive are refused in tar's own words or ours."""
    (tmp_path / "a.tar").write_bytes(b"no archive" * 10_000)
    event = uploaded(
        shell, node, Bundle(digest="d", location=str(tmp_path / "a.tar"), files=0, bytes=0)
    )

    assert isinstance(event, NodeLost)
    assert "the files were not unpacked" in event.reason


def test_what_runs_on_the_node_is_for_old_pythons():
    """The unpacking program uses nothing newer than Python 3.8."""
    vermin = [str(Path(sys.executable).with_name("vermin")), "--target=3.8-", "--violations"]
    programs = [str(UNPACK), str(UNPACK.parents[1] / "node_looks.py")]
    found = subprocess.run([*vermin, *programs], capture_output=True, text=True, check=False)

    assert 0 == found.returncode, found.stdout


def test_many_nodes_at_once(shell, sshd, tree, tmp_path):
    """Each node ends with one event, and one that is gone holds up none."""
    nodes = [a_node(sshd.port, name=f"n{each}", rank=each) for each in range(4)]
    gone = a_node(1, name="gone", rank=4)
    events = list(shell.upload([*nodes, gone], packed(tree, tmp_path / "a.tar"), target="t"))

    assert {NodeExit(each, 0) for each in nodes} == {e for e in events if isinstance(e, NodeExit)}
    assert [gone] == [e.node for e in events if isinstance(e, NodeLost)]


def test_only_what_changed_is_sent(shell, node, tree, store, tmp_path):
    """A second snapshot sends the changed file, its folders, and nothing else; what is gone here goes there."""
    (tree / "big").write_bytes(bytes(3_000_000))
    (tree / "old").mkdir()
    (tree / "old" / "file").write_text("x")
    uploaded(shell, node, store.pack(str(tree)))
    (tree / "deep" / "er" / "new").write_text("new")
    (tree / "run.sh").chmod(0o644)
    shutil.rmtree(tree / "old")
    bundle = store.pack(str(tree))
    cut = cut_out(bundle, "big")
    event = uploaded(shell, node, cut)

    assert NodeExit(node, 0) == event
    assert listing(tree) == listing(tmp_path / "workspace")


def test_modules_of_the_code_are_not_the_unpacker_s(shell, node, tree, store):
    """Code whose files are named as Python's own modules is brought as any other, again and again."""
    for name in ("json", "os", "shutil", "signal"):
        (tree / f"{name}.py").write_text("raise SystemExit(1)\n")
    for change in ("a", "b"):
        (tree / "changed").write_text(change)
        assert NodeExit(node, 0) == uploaded(shell, node, store.pack(str(tree)))


def test_what_a_command_changed_is_brought_back(shell, node, tree, store, tmp_path):
    """Files of the snapshot that were changed, removed or made links on the node are as they should be; others stay."""
    outside, workspace = tmp_path / "outside", tmp_path / "workspace"
    (tree / "gone").mkdir()
    for name in ("kept", "changed"):
        (tree / "gone" / name).write_text("x")
    uploaded(shell, node, store.pack(str(tree)))
    (workspace / "run.sh").write_text("edited")
    (workspace / "link").unlink()
    (workspace / "deep" / "er").rename(outside)
    (workspace / "deep" / "er").symlink_to(outside)
    (workspace / "gone" / "changed").write_text("result")
    (workspace / "own").write_text("own")
    shutil.rmtree(tree / "gone")
    event = uploaded(shell, node, store.pack(str(tree)))

    assert NodeExit(node, 0) == event
    mine = {"own": (0o644, b"own"), "gone/changed": (0o644, b"result"), "gone": (0o755, None)}
    assert {**listing(tree), **mine} == listing(workspace)
    assert 1 == len(list(outside.iterdir()))


def test_code_that_rode_in_the_script_is_known(tmp_path):
    """Files that the node script brought count as the snapshot before: the next one removes those that it lacks."""
    work, old, new = tmp_path / "work", tmp_path / "old", tmp_path / "new"
    for folder, names in ((work, "goes stays own"), (old, "goes stays"), (new, "comes")):
        folder.mkdir()
        for name in names.split():
            (folder / name).write_text(name)
    packed(old, tmp_path / "code.had")
    (work / "stays").write_text("changed here")
    size = Path(packed(new, tmp_path / "new.tar").location).stat().st_size
    said = b'{"size": %d}\n' % size + (tmp_path / "new.tar").read_bytes() + b'{"digest": "d2"}\n'

    ran = subprocess.run(
        [sys.executable, UNPACK, work], input=said, env={"FLOW_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True, check=False,
    )  # fmt: skip

    assert (0, b"") == (ran.returncode, ran.stderr)
    assert ["comes", "own", "stays"] == sorted(listing(work))


def test_nothing_is_removed_through_a_link(shell, node, tree, store, tmp_path):
    """A folder that was moved away and linked to keeps its files when the snapshot no longer has them."""
    outside, workspace = tmp_path / "outside", tmp_path / "workspace"
    (tree / "data").mkdir()
    (tree / "data" / "file").write_text("x")
    uploaded(shell, node, store.pack(str(tree)))
    (workspace / "data").rename(outside)
    (workspace / "data").symlink_to(outside)
    shutil.rmtree(tree / "data")
    uploaded(shell, node, store.pack(str(tree)))

    assert "x" == (outside / "file").read_text()


def test_files_and_folders_change_places(shell, node, tree, store, tmp_path):
    """What was a folder may be a file, and the other way round."""
    (tree / "one").mkdir()
    (tree / "one" / "in").write_text("x")
    (tree / "two").write_text("x")
    uploaded(shell, node, store.pack(str(tree)))
    shutil.rmtree(tree / "one")
    (tree / "two").unlink()
    (tree / "two").mkdir()
    (tree / "one").write_text("y")
    (tree / "two" / "in").write_text("y")
    event = uploaded(shell, node, store.pack(str(tree)))

    assert NodeExit(node, 0) == event
    assert listing(tree) == listing(tmp_path / "workspace")


def test_a_snapshot_of_elsewhere_is_completed_whole(shell, node, tree, store, tmp_path):
    """What this machine no longer knows the node to have is replaced whole, and its files that are gone go."""
    (tree / "old").write_text("x")
    first = store.pack(str(tree))
    uploaded(shell, node, first)
    Path(first.location).unlink()
    (tree / "old").unlink()
    (tree / "new").write_text("x")
    event = uploaded(shell, node, store.pack(str(tree)))

    assert NodeExit(node, 0) == event
    assert listing(tree) == listing(tmp_path / "workspace")


@pytest.mark.slow
def test_an_upload_that_was_killed_changes_nothing_and_is_repeated(
    make_shell, sshd, node, store, tmp_path
):
    """After kill -9 in the middle the folder is as it was, and the next upload brings everything."""
    code, workspace = tmp_path / "code", tmp_path / "workspace"
    code.mkdir()
    with (code / "big").open("wb") as file:
        file.truncate(400_000_000)
    bundle = store.pack(str(code))
    program = (
        "import sys; from pathlib import Path; from tests.ssh.conftest import a_node;"
        "from flow_adapters.ssh import SshShell; from flow_core.domain.code import Bundle;"
        "key, port, folder, digest, archive = sys.argv[1:];"
        "shell = SshShell(state_dir=Path(folder) / 'other', keys=[Path(key)], home=Path(folder),"
        " workspace=folder + '/workspace', sudo=());"
        "bundle = Bundle(digest=digest, location=archive, files=0, bytes=0);"
        "print(list(shell.upload([a_node(int(port))], bundle, target='.')))"
    )
    told = [str(sshd.user_key), str(sshd.port), str(tmp_path), bundle.digest, bundle.location]
    client = subprocess.Popen([sys.executable, "-c", program, *told], cwd=UNPACK.parents[2])
    for _ in range(1_200):
        if list(workspace.glob(".flow-upload/stage-*/big")):
            break
        with suppress(subprocess.TimeoutExpired):
            client.wait(0.05)
    was_under_way = client.poll() is None
    client.kill()
    client.wait()
    before = listing(workspace)
    event = uploaded(make_shell(), node, bundle)

    assert was_under_way
    assert {} == before
    assert NodeExit(node, 0) == event
    assert ["big"] == list(listing(workspace))
