"""The kit brings volumes to their paths: folders by binding, devices formatted once and never again."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from flow_providers.mock.boot import loops
from tests.node.kit import PATIENCE_S
from tests.node.mounting import MountingNode, mount_problem
from tests.sim_nodes.kit import refuse

pytestmark = pytest.mark.slow


@pytest.fixture
def node(tmp_path: Path) -> Iterator[MountingNode]:
    """A node that may mount, ended with the test."""
    problem = mount_problem()
    if problem is not None:
        refuse(problem)
    node = MountingNode(tmp_path)
    yield node
    node.close()


@pytest.fixture
def device(tmp_path: Path) -> Iterator[str]:
    """A new block device of 32 MB."""
    problem = loops.problem()
    if problem is not None:
        refuse(problem)
    file = tmp_path / "disk"
    with file.open("wb") as made:
        made.truncate(32_000_000)
    found = losetup("--find", "--show", str(file))
    yield found
    losetup("--detach", found)


def losetup(*words: str) -> str:
    """Say something to the system's loop devices."""
    done = subprocess.run(
        ["losetup", *words], capture_output=True, text=True, check=True, timeout=PATIENCE_S
    )
    return done.stdout.strip()


def shared(
    node: MountingNode, *, read_only: bool = False, name: str = "models"
) -> dict[str, object]:
    """What a node is told of a file volume that is to appear at `<its folder>/at/<name>`."""
    root = node.home.parent
    return {
        "name": name, "path": str(root / "at" / name), "read_only": read_only, "source": str(root / "mnt"),
    }  # fmt: skip


@pytest.fixture
def files(node: MountingNode, tmp_path: Path) -> Path:
    """A file volume with a file in it, mounted by the node's provider."""
    folder = tmp_path / "volume"
    folder.mkdir()
    (folder / "weights").write_text("heavy\n")
    (tmp_path / "mnt").mkdir()
    node.before = f"mount --bind '{folder}' '{tmp_path}/mnt'"
    return folder


def test_a_file_volume_appears_at_its_path(node, files):
    """What the command writes there is in the volume; the path is made as needed."""
    about = shared(node)
    node.set_up(f"cat {about['path']}/weights; echo new > {about['path']}/more", {"volumes": [about]})  # fmt: skip

    assert 0 == node.report().exit_code, node.said
    assert "heavy\n" in node.said
    assert "new\n" == (files / "more").read_text()


def test_a_read_only_volume_can_not_be_written(node, files):
    """Whoever asks, root too."""
    about = shared(node, read_only=True)
    node.set_up(f"cat {about['path']}/weights; touch {about['path']}/no", {"volumes": [about]})

    assert 1 == node.report().exit_code
    assert "Read-only file system" in node.said
    assert ["weights"] == [each.name for each in files.iterdir()]


def test_a_second_attempt_leaves_what_stands(node, files):
    """A retry finds its mounts as they were, and mounts nothing over them."""
    about = shared(node)
    line = f"grep -c '{about['path']}' /proc/self/mountinfo; test $FLOW_RESTART_COUNT = 2"
    node.set_up(line, {"volumes": [about]}, retries=3)

    assert 0 == node.report().exit_code
    assert ["1", "1", "1"] == [each for each in node.said.splitlines() if each.isdigit()]


def test_a_path_within_another_volume(node, files):
    """Mounts are made from the outside in, whatever their order; the inner one's folder is in the outer."""
    outer, inner = shared(node), shared(node, name="models/deep")
    node.set_up(f"cat {inner['path']}/weights", {"volumes": [inner, outer]})

    assert 0 == node.report().exit_code, node.said


@pytest.mark.parametrize(
    ("there", "reason"),
    [
        ("mkdir -p {at}; touch {at}/mine", "the folder there holds files"),
        ("mkdir -p {at}; rmdir {at}; touch {at}", "a file of that name is there"),
        ("mkdir -p {at}; mount -t tmpfs none {at}", "something else is mounted there"),
    ],
)
def test_a_path_that_is_taken_is_named(there, reason, node, files):
    """Nothing of the node's own is hidden: the task fails before its command, and says what is in the way."""
    about = shared(node)
    node.before += ";" + there.format(at=about["path"])
    node.set_up("echo never", {"volumes": [about]})

    assert 125 == node.report().exit_code
    assert f"volume 'models' can't be mounted at {about['path']}: {reason}" == node.report().reason


def test_a_volume_that_does_not_appear(node, tmp_path):
    """A folder at which nothing is mounted is not the volume; it is waited for, in so many words, and then named."""
    (tmp_path / "mnt").mkdir()
    node.env["FLOW_MOUNT_WAIT_S"] = "0.1"
    node.set_up("true", {"volumes": [shared(node)]})

    assert 125 == node.report().exit_code
    assert f"waiting for volume 'models' at {tmp_path}/mnt\n" in node.said
    assert node.report().reason.endswith("did not appear on this node within 0.1 s")


def on_disk(node: MountingNode, device: str, *, read_only: bool = False) -> dict[str, object]:
    """What a node is told of a block volume."""
    path = str(node.home.parent / "disk.at")
    return {"volumes": [{"name": "disk", "path": path, "read_only": read_only, "device": device}]}


def test_a_block_volume_is_formatted_once(node, device, tmp_path):
    """The first node formats a new device; the next finds the files, and every attempt on the same node too."""
    told = on_disk(node, device)
    line = "echo kept >> {0}/file; wc -l < {0}/file; test $FLOW_RESTART_COUNT = 1"
    node.set_up(line.format(f"{tmp_path}/disk.at"), told, retries=1)
    assert 0 == node.report().exit_code, node.said
    (tmp_path / "other").mkdir()
    other = MountingNode(tmp_path / "other")
    other.set_up(f"cat {tmp_path}/other/disk.at/file", on_disk(other, device))
    other.close()

    assert 1 == node.said.count("formatting volume 'disk', which is new")
    assert "formatting" not in other.said
    assert "kept\nkept\n" in other.said


def test_bytes_that_nobody_knows_are_left_alone(node, device):
    """A device that holds something other than a file system is never formatted."""
    with Path(device).open("r+b") as opened:
        opened.seek(5_000_000)
        opened.write(b"precious")
    node.set_up("echo never", on_disk(node, device))
    with Path(device).open("rb") as opened:
        opened.seek(5_000_000)
        kept = opened.read(8)

    assert 125 == node.report().exit_code
    assert "holds bytes but no file system" in node.report().reason
    assert b"precious" == kept


def test_a_formatting_that_was_cut_short_is_begun_again(node, device):
    """A node that lost its power while it formatted a new device formats it at its next attempt."""
    with Path(device).open("r+b") as opened:
        opened.seek(5_000_000)
        opened.write(b"half of a file system")
    node.home.mkdir()
    (node.home / f"formatting-{Path(device).name}").touch()
    node.set_up("true", on_disk(node, device))

    assert 0 == node.report().exit_code, node.said
    assert not list(node.home.glob("formatting-*"))


def test_a_new_device_is_not_mounted_read_only(node, device):
    """There is nothing to read on it, and formatting is writing."""
    node.set_up("true", on_disk(node, device, read_only=True))

    assert "volume 'disk' holds nothing yet; mount it to be written to once" == node.report().reason
