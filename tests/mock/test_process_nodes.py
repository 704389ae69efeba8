"""The mock's nodes are processes of this machine: clean, whole, and gone when they should be."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from flow_core.domain.allocation import Notice, NoticeKind
from flow_core.domain.node_files import utc
from flow_core.domain.run import RunPhase
from flow_core.domain.shape import parse_shape
from flow_providers.mock.process_nodes import Times
from tests.mock.hosts import NOW, Host
from tests.node.kit import (
    PATIENCE_S,
    Bell,
    is_alive,
    wait_for_bytes,
    wait_for_holder,
    wait_for_no_process,
)

FOREVER = "while :; do sleep 0.05; done"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A host whose nodes end with the test."""
    host = Host(tmp_path / "cloud")
    yield host
    host.close()


@pytest.fixture
def bell(tmp_path: Path) -> Iterator[Bell]:
    """A bell that commands can ring."""
    bell = Bell(tmp_path / "bell")
    yield bell
    bell.close()


@pytest.mark.skipif(
    not Path("/proc/self/environ").exists(), reason="this system shows no environment"
)
def test_a_node_runs_its_command_in_a_clean_environment(host, bell, monkeypatch):
    """No secret of the starter's reaches any process of the node."""
    monkeypatch.setenv("MITHRIL_API_KEY", "not-for-nodes-1")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-for-nodes-2")
    host.boot("n", f"echo $PPID $$ >pids; {bell.ring}; {FOREVER}")
    bell.wait()
    first = json.loads((host.nodes.folder("n") / "init.pid").read_text())["pid"]
    pids = [first, *(host.disk("n") / "pids").read_text().split()]
    seen = [Path(f"/proc/{int(pid)}/environ").read_bytes() for pid in pids]

    assert all(b"PATH=" in each for each in seen)
    assert not any(b"not-for-nodes" in each for each in seen)


def test_python_is_the_interpreter_flow_runs_under(host, bell):
    """`python` and `python3` on a node are this interpreter, its packages included."""
    show = "import sys, attrs; print(sys.prefix)"
    host.boot("n", f"python -c '{show}'; python3 -c '{show}'; {bell.ring}")
    bell.wait()
    host.ended("n")

    assert [sys.prefix, sys.prefix] == host.said("n").decode().split()


def test_home_and_workspace_are_the_nodes_own(host, bell):
    """The command starts in the workspace, below HOME, which is below the node's folder."""
    host.boot("n", f"pwd; echo $HOME; echo $TMPDIR; {bell.ring}")
    bell.wait()
    host.ended("n")
    folder = host.nodes.folder("n")

    assert [f"{folder}/home/workspace", f"{folder}/home", f"{folder}/tmp"] == host.said(
        "n"
    ).decode().split()


def test_a_node_outlives_the_process_that_started_it(tmp_path, bell):
    """kill -9 of the starter leaves the node running."""
    program = (
        "import os, pathlib, signal, sys; from tests.mock.hosts import Host\n"
        "Host(pathlib.Path(sys.argv[1])).boot('n', sys.argv[2])\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    root = Path(__file__).resolve().parents[2]
    starting = [sys.executable, "-c", program, tmp_path / "cloud", f"{bell.ring}; {FOREVER}"]
    started = subprocess.run(starting, cwd=root, check=False, timeout=PATIENCE_S)
    bell.wait()
    host = Host(tmp_path / "cloud")

    assert -9 == started.returncode
    assert RunPhase.RUNNING is host.report("n").phase
    host.nodes.destroy("n", at=NOW)
    host.down("n")


def test_booting_a_running_node_changes_nothing(host, bell):
    """The command runs once, however often the node is booted."""
    for _ in range(3):
        host.boot("n", f"echo once; {bell.ring}; {FOREVER}")
    bell.wait()
    host.boot("n", f"echo once; {bell.ring}; {FOREVER}")

    assert (RunPhase.RUNNING, 0) == (host.report("n").phase, host.report("n").attempt)
    host.nodes.stop("n", at=NOW)
    host.down("n")
    assert 1 == host.said("n").count(b"once\n")


def test_a_stopped_node_keeps_its_disk_and_runs_again(host, bell):
    """After a stop the report is an interruption; the next boot finds the files and counts the attempt."""
    host.boot("n", f"echo x >>kept; wc -l <kept; {bell.ring}; {FOREVER}")
    bell.wait()
    host.nodes.stop("n", at=NOW)
    host.nodes.stop("n", at=NOW)
    host.down("n")

    assert RunPhase.INTERRUPTED is host.report("n").phase
    host.boot("n", f"echo x >>kept; wc -l <kept; {bell.ring}; {FOREVER}")
    bell.wait()
    assert (RunPhase.RUNNING, 1) == (host.report("n").phase, host.report("n").attempt)
    host.nodes.stop("n", at=NOW)
    host.down("n")
    assert [b"1", b"2"] == [
        line.strip()
        for line in host.said("n").splitlines()
        if not line.startswith((b"flow:", b"Term"))
    ]


def test_a_boot_right_after_a_stop_waits_for_the_old_node_to_go(host, bell):
    """A node switched on again while its old processes still end comes up once they have."""
    host.boot("n", f"trap 'sleep 0.2; exit' TERM; {bell.ring}; {FOREVER}")
    bell.wait()
    host.nodes.stop("n", at=NOW)
    host.boot("n", f"{bell.ring}; {FOREVER}")
    bell.wait()

    assert (RunPhase.RUNNING, 1) == (host.report("n").phase, host.report("n").attempt)


def test_a_stop_right_after_a_boot_leaves_nothing_running(host):
    """A node that was not up yet when it was switched off doesn't come up."""
    host.boot("n", FOREVER)
    host.nodes.stop("n", at=NOW)
    wait_for_no_process(str(host.nodes.folder("n")))

    assert not host.nodes.is_up("n")
    assert "it is stopped" == host.nodes.absence("n")


@pytest.mark.slow
def test_nothing_survives_the_end_of_a_node(host, bell):
    """Children, deaf ones and daemons that left their session go with the node; nobody waits for it."""
    host.boot(
        "n",
        f"trap '' TERM; sleep 60 & echo $! >>pids; (setsid sh -c 'echo $$ >>pids; {bell.ring}; exec sleep 60' &); "
        f"echo $$ >>pids; {bell.ring}; {FOREVER}",
    )
    bell.wait(2)
    pids = [int(word) for word in (host.disk("n") / "pids").read_text().split()]
    host.nodes.destroy("n", at=NOW)
    host.down("n")

    assert 3 == len(pids)
    assert [] == [pid for pid in pids if is_alive(pid)]


def test_a_destroyed_node_leaves_its_log_and_report(host, bell):
    """The disk goes; what was said stays, and the log has an end."""
    host.boot("n", f"echo hi; {bell.ring}; {FOREVER}")
    bell.wait()
    host.nodes.destroy("n", at=NOW)
    host.nodes.destroy("n", at=NOW)
    host.down("n")
    chunk = host.nodes.read("n", offset=0, limit=100)

    assert chunk is not None
    assert (True, True) == (chunk.data.startswith(b"hi\n"), chunk.is_last)
    assert RunPhase.INTERRUPTED is host.report("n").phase
    assert not (host.nodes.folder("n") / "home").exists()
    assert not (host.nodes.folder("n") / "flow" / "env.json").exists()
    host.boot("n", "echo again")
    assert "it is gone" == host.nodes.absence("n")


def test_a_lost_node_answers_nothing_until_it_boots_again(host, bell):
    """A power cut gives the command no last word; a boot runs it again."""
    host.boot("n", f"trap 'echo bye; exit' TERM; {bell.ring}; {FOREVER}")
    bell.wait()
    host.nodes.lose("n", at=NOW)
    host.down("n")

    assert (RunPhase.INTERRUPTED, "it was lost") == (
        host.report("n").phase,
        host.nodes.absence("n"),
    )
    assert b"bye" not in host.said("n")
    host.boot("n", f"{bell.ring}; {FOREVER}")
    bell.wait()
    assert 1 == host.report("n").attempt


def test_times_are_the_clouds(tmp_path, bell):
    """Reports and pieces of the log tell simulated time; a notice's deadline is told in the node's own seconds."""
    ages = timedelta(days=365)
    host = Host(
        tmp_path / "cloud",
        times=Times(
            simulated=lambda real: utc(real) - ages, real=lambda at: (at + ages).timestamp()
        ),
    )
    began_after = utc((tmp_path / "bell").stat().st_mtime) - ages
    host.boot("n", f"echo hi; {bell.ring}")
    bell.wait()
    began = host.ended("n").began_at
    chunk = host.nodes.read("n", offset=0, limit=10)
    host.nodes.notify("n", Notice(NoticeKind.PREEMPTION, NOW))
    notice = host.nodes.folder("n") / "flow" / "notice.json"

    assert began is not None
    assert chunk is not None
    assert began_after <= began <= chunk.pieces[0].at <= began + timedelta(minutes=1)
    assert NOW + ages == datetime.fromisoformat(
        json.loads(notice.read_text())["deadline"].replace("Z", "+00:00")
    )
    host.nodes.notify("n", None)
    assert not notice.exists()
    host.close()


def test_a_node_without_a_word_has_no_report(host):
    """Before its first word there is neither report nor log."""
    assert host.nodes.report("never") is None
    assert host.nodes.read("never", offset=0, limit=1) is None


def test_nvidia_smi_answers_for_the_pretended_gpus(host, bell):
    """A node shows the GPUs of its shape and says that they are simulated."""
    query = "nvidia-smi --query-gpu=name,memory.total --format=csv,noheader"
    host.boot(
        "n", f"nvidia-smi -L; {query}; nvidia-smi; {bell.ring}", shape=parse_shape("2xa100-40gb")
    )
    bell.wait()
    host.ended("n")
    lines = host.said("n").decode().splitlines()

    assert all("NVIDIA A100-40GB" in line for line in lines[:2])
    assert ["NVIDIA A100-40GB, 40960 MiB"] * 2 == lines[2:4]
    assert any("simulated" in line for line in lines[4:])


def test_another_startup_script_runs_at_the_first_boot_only(host, bell):
    """A script that isn't Flow's is run as startup scripts are: once."""
    script = f"#!/bin/sh\necho x >>$HOME/ran; {bell.ring}\n"
    host.boot("n", script=script)
    bell.wait()
    host.down("n")
    host.nodes.stop("n", at=NOW)
    host.boot("n", script=script)
    host.down("n")

    assert "x\n" == (host.nodes.folder("n") / "home" / "ran").read_text()


def test_volumes_are_folders_that_outlive_nodes(host):
    """A volume's folder is made once and goes when it is deleted."""
    host.nodes.create_volume("v")
    (host.nodes.volume("v") / "file").write_text("x")
    host.nodes.create_volume("v")

    assert (host.nodes.volume("v") / "file").exists()
    host.nodes.delete_volume("v")
    host.nodes.delete_volume("v")
    assert not host.nodes.volume("v").exists()


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "/etc"])
def test_an_id_can_not_leave_the_folder(host, name):
    """Ids that would name another place are refused."""
    with pytest.raises(ValueError, match="can't name a folder"):
        host.nodes.folder(name)


@pytest.mark.slow
def test_twenty_nodes_start_within_seconds(host, bell):
    """Booting waits for nobody."""
    for number in range(20):
        host.boot(f"n{number}", f"{bell.ring}; {FOREVER}", rank=number)
    bell.wait(20)

    assert all(host.report(f"n{number}").phase is RunPhase.RUNNING for number in range(20))


@pytest.mark.slow
@pytest.mark.torch
def test_a_gloo_job_forms_its_group(host, tmp_path):
    """Four nodes on one machine, told of each other by a delivery, add up their ranks with torch.distributed."""
    pytest.importorskip("torch")
    program = tmp_path / "sum.py"
    program.write_text(
        "import torch, torch.distributed as dist\n"
        "dist.init_process_group('gloo')\n"
        "total = torch.tensor([float(dist.get_rank())])\n"
        "dist.all_reduce(total)\n"
        "print(dist.get_world_size(), int(total.item()), flush=True)\n"
        "dist.barrier()\n"
        "dist.destroy_process_group()\n"
    )
    for rank in range(4):
        host.boot(f"n{rank}", f"python {program}", rank=rank, num_nodes=4)
    deliver_to_all(host, count=4, port=free_port())
    for rank in range(4):
        report = host.ended_among_fellows(f"n{rank}")
        assert (0, True) == (report.exit_code, b"4 6\n" in host.said(f"n{rank}")), host.said(
            f"n{rank}"
        )


@pytest.mark.slow
@pytest.mark.torch
def test_torchrun_needs_no_editing(host, tmp_path):
    """`torchrun --nproc_per_node=2` on two nodes makes a world of four, with nothing said about the other node."""
    pytest.importorskip("torch")
    program = tmp_path / "world.py"
    program.write_text(
        "import torch.distributed as dist\n"
        "dist.init_process_group('gloo')\n"
        "dist.barrier()\n"
        "print('world', dist.get_world_size(), flush=True)\n"
        "dist.barrier()\n"
        "dist.destroy_process_group()\n"
    )
    for rank in range(2):
        host.boot(f"n{rank}", f"torchrun --nproc_per_node=2 {program}", rank=rank, num_nodes=2)
    deliver_to_all(host, count=2, port=free_port())
    for rank in range(2):
        report = host.ended_among_fellows(f"n{rank}")
        assert (0, 2) == (report.exit_code, host.said(f"n{rank}").count(b"world 4"))


def deliver_to_all(host: Host, *, count: int, port: int) -> None:
    """Tell each node of the others, as soon as it can be told."""
    for rank in range(count):
        home = host.nodes.folder(f"n{rank}") / "flow"
        nodes = [{"rank": each, "host": "127.0.0.1"} for each in range(count)]
        message = {"number": 1, "rank": rank, "nodes": nodes, "port": port, "env": {}}
        home.joinpath("delivery.json").write_text(json.dumps(message))
        wait_for_holder(home / "lock")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.mark.parametrize("stops", [True, False])
def test_a_notice_ends_with_the_stop_that_it_told_of(host, bell, stops):
    """A node that was stopped under notice boots without one; one that lost power meanwhile is still under it."""
    host.boot("n", f"{bell.ring}; {FOREVER}")
    bell.wait()
    host.nodes.notify("n", Notice(NoticeKind.PREEMPTION, NOW))
    (host.nodes.stop if stops else host.nodes.lose)("n", at=NOW)
    host.down("n")
    host.boot("n", f"{bell.ring}; {FOREVER}")
    bell.wait()

    assert stops is not (host.nodes.folder("n") / "flow" / "notice.json").exists()


def test_a_node_that_was_told_wants_no_more(host, bell):
    """Between a delivery and the command's look at it, a report no longer asks for one."""
    host.boot("n", f"{bell.ring}; {FOREVER}", num_nodes=2)
    flow_home = host.nodes.folder("n") / "flow"
    wait_for_bytes(flow_home / "log")
    assert host.report("n").wants_delivery
    (flow_home / "delivery.json").write_text(json.dumps({"number": 1}))

    assert not host.report("n").wants_delivery
