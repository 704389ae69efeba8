"""A batch script over two nodes of the mock, from the command line to its exit code, with real processes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

Flow = Callable[..., subprocess.CompletedProcess[str]]

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


PROGRAM = str(Path(sys.executable).with_name("flow"))


def environ(home: Path, **more: str) -> dict[str, str]:
    """The variables of a user of this machine."""
    return {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(home),
        "FLOW_PROVIDER": "mock",
        "FLOW_STATE_DIR": str(home / "state"),
        "FLOW_CONFIG_DIR": str(home / "config"),
        "FLOW_MOCK_INSTANT": "yes",
        **more,
    }


@pytest.fixture
def flow(tmp_path: Path) -> Flow:
    """Call `flow` in a folder, as a user of this machine would."""
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "data.txt").write_text("data\n", "utf-8")

    def call(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [PROGRAM, *words],
            cwd=folder,
            env=environ(tmp_path, **more),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )

    return call


def test_a_script_runs_over_two_nodes(tmp_path: Path, flow: Flow):
    """The script's folder is on both nodes, srun runs on both, and the exit code is the script's."""
    (tmp_path / "work" / "job.slurm").write_text(SCRIPT, "utf-8")
    done = flow("submit", "job.slurm", "it's")
    lines = sorted(line.removeprefix("[0] ") for line in done.stdout.splitlines())

    assert 7 == done.returncode, done.stderr
    assert [
        "0: data", "0: it's 0", "1: data", "1: it's 0", "2: data", "2: it's 1", "3: data", "3: it's 1", "data",
    ] == lines  # fmt: skip
    assert "--partition is ignored" in done.stderr


PARENT = """#!/bin/bash
#SBATCH -J parent --gpus-per-node=h100:8
if [ -z "$SLURM_RESTART_COUNT" ]; then
  child=$(sbatch --parsable -J child child.sh word "$PWD/seen")
  sbatch -J folds -d afterok:$child --array=0-1 --wrap 'echo fold $SLURM_ARRAY_TASK_ID' | cut -d" " -f1-3
  held=$(sbatch --parsable -J held -d afterany:$SLURM_JOB_ID --wrap true)
  squeue -h -o %j | sort -u | grep -v child | xargs
  touch seen
  scancel $held; echo "cancelled $?"
  scancel 12; echo "unknown $?"
  sbatch -N 0 child.sh; echo "refused $?"
  scontrol requeue $SLURM_JOB_ID
  sleep 60; exit 9
fi
echo "again $SLURM_RESTART_COUNT"
"""


def test_a_script_submits_looks_cancels_and_starts_again(tmp_path: Path, flow: Flow):
    """sbatch, squeue, scancel and scontrol requeue work inside a script, with its code and no key on its node."""
    folder = tmp_path / "work"
    (folder / "job.slurm").write_text(PARENT, "utf-8")
    (folder / "child.sh").write_text(
        "#!/bin/sh\n"
        "n=0; until [ -e $2 ] || [ $((n += 1)) -gt 600 ]; do sleep 0.1; done\n"
        "cat data.txt\necho $1\n",
        "utf-8",
    )
    done = flow("submit", "job.slurm")
    child, fold = flow("logs", "-f", "child"), flow("logs", "-f", "folds_1")

    assert 0 == done.returncode, done.stderr
    assert [
        "Submitted batch job", "folds held parent", "cancelled 0", "unknown 1", "refused 1", "again 1",
    ] == done.stdout.splitlines()  # fmt: skip
    assert "no live task has the number 12" in done.stderr
    assert "data\nword\n" == child.stdout, child.stderr
    assert "fold 1\n" == fold.stdout, fold.stderr
    assert "cancelled" in flow("status", "held").stdout


#: Simulated seconds in a real one; a notice lasts ten real seconds at least.
RATE = 600
LOST = """#!/bin/bash
#SBATCH -J lost --gpus-per-node=h100:8 --requeue
echo "start ${SLURM_RESTART_COUNT:-first}"
[ -n "$SLURM_RESTART_COUNT" ] && exit 5
sleep 600
"""


def test_a_script_that_was_outbid_starts_again(tmp_path: Path, flow: Flow):
    """After the market took its node and gave one back, it runs from its first line, with SLURM_RESTART_COUNT."""
    (tmp_path / "work" / "lost.slurm").write_text(LOST, "utf-8")
    rate = {"FLOW_MOCK_RATE": str(RATE)}
    with subprocess.Popen(
        [PROGRAM, "submit", "lost.slurm", "--no-code"],
        cwd=tmp_path / "work",
        env=environ(tmp_path, **rate),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as submitted:
        ends = threading.Timer(120, submitted.kill)
        ends.start()
        assert submitted.stdout is not None
        said = [submitted.stdout.readline()]
        outbid = flow("mock", "outbid", "lost", "--for", f"{10 * RATE // 60 + 10}m", **rate)
        said += submitted.stdout.readlines()
    ends.cancel()

    assert 0 == outbid.returncode, outbid.stderr
    assert (5, ["start first\n", "start 1\n"]) == (submitted.returncode, said)
