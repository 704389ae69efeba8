"""Volumes on booting nodes: shared folders, and block devices where the machine gives them."""

from __future__ import annotations

from pathlib import Path

import pytest

from flow_core.domain.volume import Attachment, Interface
from flow_providers.mock.boot import loops
from flow_providers.mock.nodes import NodeVolume
from tests.sim_nodes.kit import AT, ID, refuse

pytestmark = pytest.mark.slow


def file_volume(*, read_only: bool = False) -> dict[str, object]:
    """What a node is told of one file volume."""
    return {
        "attachments": (
            Attachment(volume_id="vol_1", path="/data", read_only=read_only, name="shared"),
        ),
        "volumes": (
            NodeVolume(id="vol_1", name="shared", interface=Interface.FILE, capacity_gb=1),
        ),
    }


def test_a_file_volume_is_shared_and_outlives_nodes(cloud):
    """Two nodes see each other's files in /mnt/<name> and at the path asked for; a later node finds them too."""
    cloud.nodes.create_volume("vol_1")
    cloud.boot(node_id="inst_0", **file_volume())
    cloud.boot(node_id="inst_1", **file_volume(read_only=True))
    cloud.ssh("echo kept >/mnt/shared/file", node_id="inst_0")
    said = cloud.ssh(
        "cat /mnt/shared/file /data/file; touch /data/no || echo refused", node_id="inst_1"
    )

    assert "kept\nkept\nrefused\n" == said.stdout
    for node_id in ("inst_0", "inst_1"):
        cloud.nodes.destroy(node_id, at=AT)
        cloud.until_down(node_id)
    cloud.boot(**file_volume())

    assert "kept\n" == cloud.ssh("cat /mnt/shared/file").stdout
    cloud.nodes.destroy(ID, at=AT)
    cloud.until_down()
    cloud.nodes.delete_volume("vol_1")

    assert not cloud.nodes.volume("vol_1").exists()


def test_file_volumes_are_listed_as_scripts_look_for_them(cloud):
    """`mount -t virtiofs` tells where file volumes lie, as at the service; other mounts are the machine's own."""
    cloud.nodes.create_volume("vol_1")
    cloud.boot("#!/bin/bash\nmount -t virtiofs >/tmp/seen", **file_volume())
    cloud.until_script_ended()
    said = cloud.ssh(
        "cat /tmp/seen; sudo mount -t tmpfs here /opt && sudo mount -t tmpfs | grep -c 'here on /opt'"
    )

    assert "shared on /mnt/shared type virtiofs (rw,relatime)\n1\n" == said.stdout


def test_a_block_volume_is_a_device_that_keeps_its_bytes(cloud):
    """A block volume is unformatted at first, formattable, found by its id, and kept from node to node."""
    reason = loops.problem()
    if reason is not None:
        pytest.skip(reason)
    more = {
        "attachments": (Attachment(volume_id="vol_abcdefghijklmnopqrst", path="/mnt/disk"),),
        "volumes": (
            NodeVolume(
                id="vol_abcdefghijklmnopqrst", name="disk", interface=Interface.BLOCK, capacity_gb=1
            ),
        ),
    }
    cloud.boot(**more)
    made = cloud.ssh(
        "set -e; disk=/dev/disk/by-id/virtio-vol_abcdefghijklmnop; [ $(readlink -f $disk) = /dev/vdd ];"
        "sudo blockdev --getsize64 $disk; sudo mkfs.ext4 -q $disk; sudo mkdir -p /mnt/disk;"
        "sudo mount $disk /mnt/disk; echo kept | sudo tee /mnt/disk/file"
    )
    if "mkfs.ext4: command not found" in made.stderr:
        refuse("needs mkfs.ext4")

    assert "1000000000\nkept\n" == made.stdout
    cloud.nodes.stop(ID, at=AT)
    cloud.until_down()
    file = str(cloud.nodes.volume("vol_abcdefghijklmnopqrst") / "block")

    assert file not in [
        place.read_text().strip() for place in Path("/sys/block").glob("loop*/loop/backing_file")
    ]
    cloud.boot(**more)

    assert "kept\n" == cloud.ssh("sudo mount /dev/vdd /mnt/disk && cat /mnt/disk/file").stdout


def test_where_nodes_are_folders_volumes_are_refused(cloud):
    """Without namespaces, what can't be attached is said in a sentence."""
    attachments = (Attachment(volume_id="vol_1", path="/data"),)
    bare = type(cloud.nodes)(cloud.folder / "bare", why_bare="this test says so")

    assert "volumes can't be attached on this machine: this test says so" == bare.mount_problem(
        attachments
    )
    assert bare.mount_problem(()) is None
    assert cloud.nodes.mount_problem(attachments) is None


def test_a_node_looks_like_the_machine_it_plays(cloud):
    """The GPUs asked for, an empty fast disk, a workspace of ubuntu's, and none of the host's homes are there."""
    cloud.boot()
    said = cloud.ssh(
        "nvidia-smi -L | wc -l; ls -A /mnt/local /workspace; touch /workspace/x; ls /home; ls -A /root"
    )

    assert "8\n/mnt/local:\n\n/workspace:\nubuntu\n" == said.stdout
