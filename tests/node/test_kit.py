"""The kit sets a node up and becomes the command; what it can't do, it says, and the command is not run."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from flow_adapters.node_files import load_kit
from flow_core.domain.run import RunPhase
from tests.node.conftest import BareNode
from tests.node.kit import PATIENCE_S, wait_for_bytes

HOSTS = ("10.0.0.7", "10.0.0.8")
SETUP = {"fellows": {"gpus": 8}}


def set_up(node: BareNode, command: str | tuple[str, ...], **about: object) -> None:
    """Run `command` on rank 1 of two nodes, set up by the kit, to its end."""
    node.take(command, num_nodes=2, **about)
    started = node.start()
    wait_for_bytes(node.home / "log")
    kit = load_kit()
    assert 0 == node.deliver(1, rank=1, hosts=HOSTS, setup=SETUP, kit=kit)
    for _ in range(1_000):
        if node.report().phase is RunPhase.EXITED:
            break
    started.terminate()
    started.wait(PATIENCE_S)


def test_the_kit_becomes_the_command(node):
    """The command's code, words and arguments are its own; no process stands between it and the helper."""
    set_up(node, ("sh", "-c", 'echo "$1" $PPID; exit 5', "x", "a  b"))
    said = node.log().data.decode().splitlines()[-1]

    assert 5 == node.report().exit_code
    assert said.startswith("a  b ")


def test_launchers_find_all_nodes(node):
    """The hostfile has a line a node by rank, and accelerate's file the same group."""
    set_up(node, "cat $FLOW_HOSTFILE $ACCELERATE_CONFIG_FILE")
    said = node.log().data.decode()

    assert "10.0.0.7 slots=8\n10.0.0.8 slots=8\n" in said
    assert (
        "num_machines: 2\nnum_processes: 16\nmachine_rank: 1\nmain_process_ip: 10.0.0.7\n" in said
    )


def test_mpirun_may_be_root_where_the_command_is(node):
    """Open MPI is told twice that root is meant; whoever isn't root has no need of it."""
    set_up(node, "echo ${OMPI_ALLOW_RUN_AS_ROOT-no} ${OMPI_ALLOW_RUN_AS_ROOT_CONFIRM-no}")

    said = node.log().data.decode().splitlines()[-1]
    assert ("no no" if os.geteuid() else "1 1") == said


def test_what_was_set_up_is_there_for_shells(node):
    """Variables that a step added are among those that later shells on the node get."""
    set_up(node, "true")

    assert f'"FLOW_HOSTFILE": "{node.home}/hostfile"' in (node.home / "env.json").read_text()


def test_a_command_that_is_not_there_is_named(node):
    """The kit says what the helper would have said, with the same code and reason."""
    set_up(node, ("no-such-program",))

    assert (127, "no-such-program: command not found") == (
        node.report().exit_code,
        node.report().reason,
    )


def test_a_folder_that_is_not_there_fails_the_set_up(node):
    """A working directory that no step made is named, and no retry is spent on it."""
    set_up(node, "true", working_dir="nowhere", retries=3)

    report = node.report()
    assert (125, 0) == (report.exit_code, report.attempt)
    assert f"{node.workspace}/nowhere: is not a folder on this node" == report.reason
    assert b"flow: " + report.reason.encode() in node.log().data


@pytest.mark.parametrize("module", ["flow_core.node.kit.enter", "flow_core.node.kit.fellows"])
def test_what_stands_in_the_way_of_every_rank_loads_little(tmp_path: Path, module: str):
    """Each of a group's nodes takes as long as its kit; what takes long to load comes with the steps that need it."""
    (tmp_path / "kit.zip").write_bytes(load_kit())
    slow = "{'typing', 'shutil', 'tarfile', 'contextlib'} & set(sys.modules)"
    loads = f"sys.path.insert(0, sys.argv[1]); import {module}"
    program = f"import sys, subprocess; had = {slow}; {loads}; print({slow} - had)"
    words = [sys.executable, "-I", "-S", "-c", program, str(tmp_path / "kit.zip")]
    told = subprocess.run(words, check=True, capture_output=True, text=True)

    assert "set()\n" == told.stdout


def test_equal_kits_are_equal_bytes():
    """Nothing of this machine or of now is in the zip, and it is small enough to send with each delivery."""
    kit = load_kit()
    with zipfile.ZipFile(io.BytesIO(kit)) as packed:
        names = packed.namelist()
        assert {(2026, 1, 1, 0, 0, 0)} == {each.date_time for each in packed.infolist()}

    assert names == sorted(names)
    assert "flow_core/node/kit/enter.py" in names
    assert not [name for name in names if name.endswith((".pyc", "boot.sh"))]
    assert len(kit) < 96_000
