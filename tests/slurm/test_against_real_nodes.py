"""The same script run by a real Slurm on two nodes, and by Flow on two: what it sees and how it ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.slurm.cluster import REAL, Cluster
from tests.slurm.two_nodes import Nodes

pytestmark = [pytest.mark.slow, pytest.mark.slurm]

#: Variables that must be there or not, and be the same: what they say doesn't depend on the machine.
SAME = (
    "SLURM_ARRAY_TASK_COUNT SLURM_ARRAY_TASK_ID SLURM_ARRAY_TASK_MAX SLURM_ARRAY_TASK_MIN SLURM_ARRAY_TASK_STEP"
    " SLURM_CPUS_PER_TASK SLURM_GTIDS SLURM_JOB_NAME SLURM_JOB_NUM_NODES SLURM_LOCALID SLURM_MEM_PER_NODE"
    " SLURM_NNODES SLURM_NODEID SLURM_NPROCS SLURM_NTASKS SLURM_NTASKS_PER_NODE SLURM_PROCID SLURM_RESTART_COUNT"
    " SLURM_TASKS_PER_NODE RANK WORLD_SIZE MASTER_ADDR LOCAL_RANK SLURM_STEP_ID SLURM_MEM_PER_CPU"
)
#: There on both sides, with values of their own.
THERE = (
    "SLURM_CLUSTER_NAME SLURM_CPUS_ON_NODE SLURM_JOBID SLURM_JOB_CPUS_PER_NODE SLURM_JOB_GID SLURM_JOB_ID"
    " SLURM_JOB_NODELIST SLURM_JOB_PARTITION SLURM_JOB_UID SLURM_JOB_USER SLURM_NODELIST SLURM_SUBMIT_DIR"
    " SLURM_SUBMIT_HOST SLURM_TASK_PID SLURMD_NODENAME SLURM_ARRAY_JOB_ID"
)
SHOW = (
    f"for name in {SAME}; do echo $name=${{!name-unset}}; done\n"
    f"for name in {THERE}; do echo $name ${{!name+is set}}; done\n"
)
#: What each task says of its place, after the number of the case.
PLACE = (
    "bash -c 'echo $0 $SLURM_PROCID/$SLURM_NTASKS $SLURM_LOCALID $SLURM_NODEID $SLURM_GTIDS $SLURM_NNODES"
    " $SLURM_STEP_TASKS_PER_NODE'"
)


def both(
    cluster: Cluster, nodes: Nodes, folder: Path, directives: str, body: str, *words: str
) -> tuple[tuple[int, list[str]], tuple[int, list[str]]]:
    """Run a script on both, `words` only with sbatch; return the exit code and the sorted lines of each."""
    script = folder / "real.slurm"
    script.write_text(f"#!/bin/bash\n#SBATCH -N 2 {directives}\n{body}", "utf-8")
    done = cluster.run(
        "sbatch", "--wait", "-p", REAL, "--mem=100", "-J", "same", "-o", "out.txt", "-e", "err.txt", *words,
        script,
        cwd=folder,
    )  # fmt: skip
    theirs = (folder / "out.txt").read_text("utf-8").splitlines()
    ours = nodes.run(f"--mem=100 -J same {directives}", body)
    return (done.returncode, sorted(theirs)), (ours.returncode, sorted(ours.stdout.splitlines()))


@pytest.mark.parametrize(
    "directives", ["", "-n 3", "--ntasks-per-node=2 -c 2", "-n 4 --ntasks-per-node=2", "-a 3"]
)
def test_a_script_sees_the_same_variables(
    real_nodes: Cluster, nodes: Nodes, tmp_path: Path, directives: str
):
    """Every variable of the list is set on both sides or on none, and what doesn't depend on the machine is equal."""
    real, ours = both(real_nodes, nodes, tmp_path, directives, SHOW)

    assert real == ours


@pytest.mark.parametrize(
    ("directives", "cases"),
    [
        ("", ["", "-N 1", "--ntasks-per-node=3", "-n 5"]),
        ("-n 4", ["", "-n 2", "-n 1", "-N 1", "-N 1 -n 1", "-N 2 -n 3", "-l", "--label -n 3"]),
        ("-n 3", ["", "-n 2"]),
        ("--ntasks-per-node=2", ["", "-N 2 --ntasks-per-node=1", "-N 1 -n 2"]),
    ],
)
def test_steps_are_laid_out_the_same(
    real_nodes: Cluster, nodes: Nodes, tmp_path: Path, directives: str, cases: list[str]
):
    """Which task runs where, and what it knows of its step, is as Slurm has it on nodes of its own."""
    body = "".join(f"srun {words} {PLACE} {number}\n" for number, words in enumerate(cases))
    real, ours = both(real_nodes, nodes, tmp_path, directives, body, "--exclusive")

    assert real == ours


STEPS = (
    "srun bash -c 'exit $SLURM_PROCID'; echo a $?\n"
    "srun -n1 bash -c 'kill -TERM $$'; echo b $?\n"
    "srun -n1 bash -c 'kill -KILL $$'; echo c $?\n"
    "srun -K bash -c '[ $SLURM_PROCID = 1 ] && exit 9; exec sleep 20'; echo d $?\n"
    "srun -n1 true && scontrol show hostnames | wc -l\n"
    "srun false\n"
)


@pytest.mark.parametrize(
    "body", [STEPS, "set -e\nsrun false\necho never\n", "kill -USR1 $$\n", "exit 300\n"]
)
def test_exit_codes_are_the_same(real_nodes: Cluster, nodes: Nodes, tmp_path: Path, body: str):
    """A step's code, and the script's own, are Slurm's; only a script that a signal ended says so by 128 and more."""
    real, ours = both(real_nodes, nodes, tmp_path, "-n 4", body)

    assert real[1] == ours[1]
    assert real[0] == ours[0] or ours[0] == 128 + 10
