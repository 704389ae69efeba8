"""The node script puts the helper and the task in place, for root's eyes only, in any shell."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from attrs import evolve

from flow_adapters.node_files import load_node_files
from tests.node.kit import PATIENCE_S


@pytest.mark.parametrize("shell", ["sh", "bash", "dash"])
def test_any_shell_runs_the_script(node, shell):
    """The script needs no more than sh."""
    if shutil.which(shell) is None:
        pytest.skip(f"this machine has no {shell}")
    node.take("echo hi")
    script = node.home.parent / "startup.sh"
    subprocess.run([shell, script], env=node.env, timeout=PATIENCE_S, check=True)

    assert b"hi\n" == node.log().data


def test_nobody_else_reads_the_nodes_files(node):
    """Commands and variables may be private: FLOW_HOME and the task are their owner's."""
    node.take("true", env={"PRIVATE": "yes"})
    node.finish()
    modes = {
        name: (node.home / name).stat().st_mode & 0o777
        for name in (".", "task.json", "env.json", "log")
    }

    assert {".": 0o700, "task.json": 0o600, "env.json": 0o600, "log": 0o600} == modes


def test_a_second_boot_leaves_no_litter(node):
    """Running the script again replaces its files and leaves nothing else."""
    node.take("true")
    node.finish()
    before = sorted(path.relative_to(node.home) for path in node.home.rglob("*"))
    node.finish()

    assert before == sorted(path.relative_to(node.home) for path in node.home.rglob("*"))


def test_without_foreground_a_unit_is_installed(node, tmp_path):
    """The script hands the helper to systemd, which starts it now and at each boot."""
    unit = tmp_path / "flow-node.service"
    files = load_node_files()
    elsewhere = files.helper.replace("/etc/systemd/system/flow-node.service", str(unit))
    node.take("true", files=evolve(files, helper=elsewhere))
    script = node.home.parent / "startup.sh"
    told = tmp_path / "told"
    systemctl = tmp_path / "bin" / "systemctl"
    systemctl.parent.mkdir()
    systemctl.write_text(f'#!/bin/sh\necho "$@" >>{told}\n')
    systemctl.chmod(0o755)
    env = {name: value for name, value in node.env.items() if name != "FLOW_FOREGROUND"}
    env["PATH"] = f"{systemctl.parent}{os.pathsep}{env['PATH']}"
    subprocess.run(["sh", script], env=env, timeout=PATIENCE_S, check=True)

    assert ["daemon-reload", "enable --now flow-node"] == told.read_text().splitlines()
    assert f'Environment="FLOW_HOME={node.home}"' in unit.read_text()
    assert f'"{Path(node.home, "bin", "flow-node")}" run' in unit.read_text()
