"""A booting node's life: first boot, stop, boot again, loss, destruction."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from flow_adapters.node_files import load_node_files
from flow_core.domain.allocation import Notice, NoticeKind
from flow_core.domain.run import RunPhase
from flow_core.domain.script import NodeTask, render_script
from flow_providers.mock.boot.signal_file import put_signal
from tests.node.kit import PATIENCE_S, wait_for_bytes
from tests.sim_nodes.kit import AT, ID, Cloud, processes_with

IS_ROOT = os.geteuid() == 0


def test_a_startup_script_runs_as_root_at_first_boot_only(cloud):
    """The script runs once, as uid 0; its text and what it said lie where the service keeps them."""
    cloud.boot("#!/bin/bash\nid -u; echo ran >>/opt/runs; exit 3\n")

    assert 3 == cloud.until_script_ended()
    cloud.nodes.stop(ID, at=AT)
    cloud.until_down()
    cloud.boot("#!/bin/bash\nid -u; echo ran >>/opt/runs; exit 3\n")
    said = cloud.ssh(
        "cat /opt/runs /var/log/foundry/startup_script.log /var/log/cloud-init-output.log"
    )

    assert "ran\n0\n0\n" == said.stdout
    assert "echo ran" in cloud.ssh("sudo cat /var/lib/foundry/startup_script.sh").stdout


def test_the_boot_disk_outlives_a_stop_and_the_fast_disk_does_not(cloud):
    """What was written to /home, /etc and /workspace is there after a stop; /mnt/local is empty."""
    cloud.boot()
    cloud.ssh(
        "touch kept /workspace/kept; sudo touch /etc/kept /usr/bin/kept; touch /mnt/local/fast; sync"
    )
    cloud.nodes.stop(ID, at=AT)
    cloud.until_down()
    cloud.boot()
    said = cloud.ssh("ls /home/ubuntu/kept /workspace/kept /etc/kept /usr/bin/kept; ls /mnt/local")

    assert "/etc/kept\n/home/ubuntu/kept\n/usr/bin/kept\n/workspace/kept\n" == said.stdout
    assert not Path("/etc/kept").exists()


def test_a_destroyed_node_leaves_nothing(cloud):
    """After destruction no process, no mount and no disk of the node is there."""
    cloud.boot("#!/bin/bash\nsetsid sleep 1000 &\n")
    cloud.until_script_ended()
    cloud.nodes.destroy(ID, at=AT)
    cloud.nodes.destroy(ID, at=AT)
    cloud.until_down()
    left = {each.name for each in cloud.nodes.folder(ID).iterdir()}

    assert str(cloud.nodes.folder(ID)) not in Path("/proc/mounts").read_text()
    assert [] == processes_with(str(cloud.nodes.folder(ID)))
    assert not left & {"disk", "local", "view", "home", "host_key"}
    assert cloud.nodes.address(ID) is None


def test_a_lost_node_comes_back_with_its_disk(cloud):
    """A power cut ends the node at once; it may boot again from its disk."""
    cloud.boot()
    cloud.ssh("touch kept; sync")
    cloud.nodes.lose(ID, at=AT)
    cloud.until_down()
    cloud.boot()

    assert "kept\n" == cloud.ssh("ls").stdout


def test_a_node_reboots_from_inside(cloud):
    """`sudo reboot` starts the node anew, without its startup script."""
    cloud.boot("#!/bin/bash\necho ran >>/opt/runs\n")
    cloud.until_script_ended()
    before = cloud.ssh("sudo touch /run/old; cat /proc/sys/kernel/random/boot_id").returncode
    cloud.ssh("sudo reboot; sleep 1000")
    cloud.until_answers()

    assert 0 == before
    assert "ran\n" == cloud.ssh("cat /opt/runs; ls /run/old").stdout


def test_nodes_outlive_the_simulator(cloud):
    """A node goes on while no simulator runs, and answers the next one with the same host key."""
    cloud.boot()
    cloud.ssh("nohup sleep 1000 >/dev/null 2>&1 & echo $! >pid")
    cloud.nodes.close()

    assert cloud.nodes.is_up(ID)
    assert 255 == cloud.ssh("true").returncode
    cloud.nodes = cloud.simulator()
    cloud.nodes.open()
    cloud.until_answers()

    assert 0 == cloud.ssh("kill $(cat pid)", options=("-o", "StrictHostKeyChecking=yes")).returncode


def test_a_changed_host_key_is_noticed(cloud):
    """A node keeps its host key over a stop; after `change_host_key` OpenSSH refuses to connect."""
    cloud.boot()
    cloud.ssh("true")
    cloud.nodes.stop(ID, at=AT)
    cloud.until_down()
    cloud.boot()

    assert 0 == cloud.ssh("true", options=("-o", "StrictHostKeyChecking=yes")).returncode
    cloud.nodes.change_host_key(ID)
    cloud.until_answers()

    assert "REMOTE HOST IDENTIFICATION HAS CHANGED" in cloud.ssh("true").stderr


def test_flow_s_own_script_goes_on_after_a_preemption(cloud):
    """Flow's node script boots as a service; after a stop its second attempt runs and reports restart count 1."""
    task = NodeTask(
        name="kit", token="00000000", command="echo run $FLOW_RESTART_COUNT; sleep 1000"
    )
    script = render_script(task, files=load_node_files())
    cloud.boot(script)
    log = cloud.disk() / "opt" / "flow" / "log"
    wait_for_bytes(log)

    assert 0 == cloud.until_script_ended()
    assert RunPhase.RUNNING is cloud.nodes.report(ID).phase
    cloud.nodes.stop(ID, at=AT)
    cloud.until_down()

    assert RunPhase.INTERRUPTED is cloud.nodes.report(ID).phase
    wait_size = log.stat().st_size
    cloud.boot(script)
    wait_for_bytes(log, wait_size + len("flow: attempt 2 begins\n"))
    report = cloud.nodes.report(ID)

    assert (RunPhase.RUNNING, 1) == (report.phase, report.attempt)
    assert (
        b"run 0\nflow: attempt 2 begins\nrun 1\n" == cloud.nodes.read(ID, offset=0, limit=999).data
    )
    cloud.nodes.destroy(ID, at=AT)
    cloud.until_down()

    assert cloud.nodes.read(ID, offset=0, limit=999).data.endswith(b"run 1\n")


def test_the_signal_file_comes_and_goes(cloud):
    """Under notice /opt/mithril/MITHRIL_SIGNAL.yml tells status and end; taken back, it is gone."""
    cloud.boot()
    place = "cat /opt/mithril/MITHRIL_SIGNAL.yml"
    cloud.nodes.notify(ID, Notice(NoticeKind.PREEMPTION, AT + timedelta(minutes=5)))
    said = cloud.ssh(place).stdout.splitlines()

    assert ["instance_status: STATUS_PREEMPTING", "bid_status: Preempting"] == said[:2]
    assert ["end_time: '2026-01-01T00:05:00Z'"] == said[2:]
    cloud.nodes.notify(ID, Notice(NoticeKind.RELOCATION, AT + timedelta(minutes=5)))

    assert "bid_status: Relocating" in cloud.ssh(place).stdout
    cloud.nodes.notify(ID, None)
    cloud.nodes.notify(ID, None)

    assert 1 == cloud.ssh(place).returncode


def test_the_signal_file_follows_no_link(tmp_path):
    """A node whose /opt/mithril is a link can't have files of the machine's written."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "opt").mkdir()
    (tmp_path / "opt" / "mithril").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="mithril"):
        put_signal(tmp_path, 0.0)

    assert [] == list((tmp_path / "elsewhere").iterdir())


def test_fellows_know_each_other_by_name(cloud):
    """Each node of a bid finds the others in /etc/hosts, those that booted later included."""
    for rank in range(2):
        cloud.boot(node_id=f"inst_{rank}", rank=rank, name=f"train-{rank}", peers=2)
    other = cloud.nodes.address("inst_1").host
    said = cloud.ssh("getent hosts train-1; hostname", node_id="inst_0").stdout.split()

    assert [other, "train-1", "train-0"] == said


def test_a_forgotten_world_leaves_nothing(cloud):
    """`forget` ends all nodes, destroyed ones included, and drops their folders and the volumes."""
    cloud.nodes.create_volume("vol_1")
    for rank in range(2):
        cloud.boot(node_id=f"inst_{rank}", rank=rank)
    cloud.nodes.destroy("inst_0", at=AT)
    folders = [str(cloud.nodes.folder(f"inst_{rank}")) for rank in range(2)]
    cloud.nodes.forget()

    assert [] == [line for folder in folders for line in processes_with(folder)]
    assert [] == list((cloud.folder / "sim").glob("*"))


@pytest.fixture
def bare(tmp_path: Path):
    """A host on a machine that can make no namespaces."""
    cloud = Cloud(tmp_path, why_bare="this test says so")
    yield cloud
    cloud.close()


def test_without_namespaces_a_node_boots_to_ssh_only(bare):
    """Such a node refuses its script with a sentence, and still has a shell."""
    bare.boot("#!/bin/bash\ntouch /etc/never\n")
    said = bare.ssh("echo $USER; id -u; exit 4")

    assert (
        "startup scripts can't be run on this machine: this test says so"
        == bare.nodes.script_problem("x")
    )
    assert "startup scripts can't be run on this machine" in bare.nodes.console(ID)
    assert (4, "ubuntu") == (said.returncode, said.stdout.split()[0])
    assert not IS_ROOT or "65534" == said.stdout.split()[1]
    assert not Path("/etc/never").exists()


@pytest.mark.slow
def test_a_node_whose_folder_is_deleted_ends(cloud):
    """A node doesn't go on without its state: some seconds after its folder went, it does too."""
    cloud.boot()
    folder = cloud.nodes.folder(ID)
    with (folder / "init.lock").open() as lock:
        folder.rename(folder.with_name("deleted"))
        hold = f"import fcntl; fcntl.flock({lock.fileno()}, fcntl.LOCK_SH)"
        line = [sys.executable, "-I", "-S", "-c", hold]
        subprocess.run(line, pass_fds=[lock.fileno()], timeout=PATIENCE_S, check=True)
    folder.with_name("deleted").rename(folder)

    assert [] == processes_with(str(folder))
