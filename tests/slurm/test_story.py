"""A batch script over two nodes of the mock, from the command line to its exit code, with real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SCRIPT = """#!/bin/bash
#SBATCH --job-name=pair
#SBATCH --nodes=2 --ntasks-per-node=2
#SBATCH --gpus-per-node=h100:8
#SBATCH --time=1:00:00
#SBATCH --partition=gpu
cat data.txt
srun -l bash -c 'cat data.txt; echo "$1 $SLURM_NODEID"' x "$1"
exit 7
"""


def test_a_script_runs_over_two_nodes(tmp_path: Path):
    """The script's folder is on both nodes, srun runs on both, and the exit code is the script's."""
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "job.slurm").write_text(SCRIPT, "utf-8")
    (folder / "data.txt").write_text("data\n", "utf-8")
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("flow")),
            "--provider",
            "mock",
            "submit",
            "job.slurm",
            "it's",
        ],
        cwd=folder,
        env={
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(tmp_path),
            "FLOW_STATE_DIR": str(tmp_path / "state"),
            "FLOW_CONFIG_DIR": str(tmp_path / "config"),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    lines = sorted(line.removeprefix("[0] ") for line in done.stdout.splitlines())

    assert 7 == done.returncode, done.stderr
    assert [
        "0: data", "0: it's 0", "1: data", "1: it's 0", "2: data", "2: it's 1", "3: data", "3: it's 1", "data",
    ] == lines  # fmt: skip
    assert "--partition is ignored" in done.stderr
