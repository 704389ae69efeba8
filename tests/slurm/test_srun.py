"""srun between real processes: two nodes in two folders, the kit in each, as the helper would start them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.slurm.two_nodes import Nodes

pytestmark = pytest.mark.slow


def test_a_step_runs_on_every_node(nodes: Nodes):
    """Each task knows its place, runs in its own node's folder, and writes with its label."""
    done = nodes.run(
        "--ntasks-per-node=2",
        "srun -l bash -c 'echo $SLURM_PROCID/$SLURM_NTASKS $SLURM_LOCALID $SLURM_NODEID "
        "$FLOW_NODE_RANK $(basename $(dirname $PWD))'\n",
    )

    assert 0 == done.returncode, done.stderr
    assert [
        "0: 0/4 0 0 0 node0",
        "1: 1/4 1 0 0 node0",
        "2: 2/4 0 1 1 node1",
        "3: 3/4 1 1 1 node1",
    ] == sorted(done.stdout.splitlines())


def test_the_exit_code_is_the_highest(nodes: Nodes):
    """Of several codes the highest counts, a signal as 128 and its number, and the script goes on."""
    done = nodes.run(
        "-n 4",
        "srun bash -c 'exit $SLURM_PROCID'; echo $?\n"
        "srun -n1 bash -c 'kill -KILL $$'; echo $?\n"
        "srun nothing-like-it; echo $?\nexit 6\n",
    )

    assert 6 == done.returncode
    assert ["3", "137", "127"] == done.stdout.splitlines()


def test_one_bad_end_may_end_the_others(nodes: Nodes):
    """With -K the rest are told to end when one has failed; the step's code is then 143."""
    done = nodes.run(
        "-n 2", "srun -K bash -c '[ $SLURM_PROCID = 1 ] && exit 9; exec sleep 60'; echo $?\n"
    )

    assert "143\n" == done.stdout


def test_the_usual_way_to_meet(nodes: Nodes):
    """The head's name from scontrol can be given back to srun, and module is a noted no-op."""
    done = nodes.run(
        "-n 2",
        "set -e\nmodule load cuda\nhead=$(scontrol show hostnames $SLURM_JOB_NODELIST | head -n1)\n"
        'srun -N1 -n1 -w "$head" echo "$head"\n',
    )

    assert (0, "127.0.0.1\n") == (done.returncode, done.stdout)
    assert "module load cuda does nothing here" in done.stderr


def test_steps_run_side_by_side_with_files_of_their_own(nodes: Nodes):
    """Background steps have numbers of their own, and --output is a file with patterns."""
    done = nodes.run(
        "-n 2",
        "srun -n1 -o one-%j-%s-%t.log echo one &\nwait\nsrun -n1 -o two-%s.log echo two\ncat *.log; ls\n",
    )

    assert ["one", "two", "one-77-0-0.log", "two-1.log"] == done.stdout.splitlines()


def test_gpus_are_divided_among_tasks(nodes: Nodes):
    """With --gpus-per-task each task sees its own."""
    done = nodes.run(
        "-n 4 --ntasks-per-node=2 --gpus-per-task=h100:2",
        "srun bash -c 'echo $SLURM_LOCALID $CUDA_VISIBLE_DEVICES'\n",
    )

    assert ["0 0,1", "0 0,1", "1 2,3", "1 2,3"] == sorted(done.stdout.splitlines())


def test_commands_of_the_queue_say_that_nobody_hears_them(nodes: Nodes):
    """With no watcher squeue and its kin fail with a sentence instead of hanging or lying."""
    done = nodes.run(
        "-n 2", "export FLOW_SLURM_UNWATCHED_S=0.1\nsqueue; echo $?; sbatch --wrap true; echo $?\n"
    )

    assert "1\n1\n" == done.stdout
    assert 2 == done.stderr.count("nobody looks in from outside")


def test_a_stranger_without_the_key_starts_nothing(nodes: Nodes, tmp_path: Path):
    """An agent hears nobody who can't prove to have the key."""
    mark = tmp_path / "started"
    request = json.dumps({"argv": ["touch", str(mark)], "env": {}, "cwd": "/", "workspace": "/", "tasks": [
        {"id": 0, "env": {}}]})  # fmt: skip
    knock = (
        "import json, socket, sys\n"
        f"with socket.create_connection(('127.0.0.1', {nodes.port + 1})) as s, s.makefile('rwb') as f:\n"
        "    f.readline()\n"
        f"    f.write(json.dumps({{'request': {request!r}, 'proof': 'f' * 64}}).encode() + b'\\n')\n"
        "    f.flush()\n"
        "    print(repr(f.read()))\n"
    )
    (tmp_path / "knock.py").write_text(knock, "utf-8")
    done = nodes.run("-n 2", f"srun -n1 true; python3 {tmp_path / 'knock.py'}\n")

    assert "b''\n" == done.stdout
    assert not mark.exists()


def test_a_signal_before_the_end_reaches_the_script(nodes: Nodes):
    """The script's parent passes on what its time limit sends, and steps end with the script."""
    done = nodes.run(
        "-n 2 -t 1 --signal=B:USR1@58",
        "trap 'echo told; exit 5' USR1\nsrun sleep 60 >/dev/null 2>&1 &\nwait\n",
    )

    assert (5, "told\n") == (done.returncode, done.stdout)


def test_what_comes_in_reaches_every_task_or_one(nodes: Nodes):
    """What srun reads goes to all of its tasks, or to the one that --input names; without any there is nothing."""
    done = nodes.run(
        "-n 2",
        "printf 'a\\nb\\n' | srun -l cat\necho c | srun -l --input 1 cat\necho d >in; srun -i in -n1 cat\n"
        "srun -n1 cat\nyes | head -c 300000 | srun -n1 true; echo $?\nsinfo\n",
    )

    lines = done.stdout.splitlines()
    assert ["0: a", "0: b", "1: a", "1: b"] == sorted(lines[:4])
    assert ["1: c", "d", "0"] == lines[4:7]
    assert ["PARTITION", "AVAIL", "TIMELIMIT", "NODES", "STATE", "NODELIST"] == lines[7].split()
    assert ["flow*", "up", "infinite", "2", "alloc", "127.0.0.1,127.0.0.1"] == lines[8].split()


def test_a_step_has_a_time_limit_and_hears_signals(nodes: Nodes):
    """--time ends a step; --signal without B: goes to the steps that run, not to the script."""
    done = nodes.run(
        "-n 2 -t 1 --signal=USR1@57",
        "srun -n1 -t 0:01 sleep 40; echo $?\n"
        "srun bash -c 'trap \"echo told; exit 4\" USR1; sleep 40 >/dev/null 2>&1 & wait'; echo $?\n",
    )

    assert ["143", "told", "told", "4"] == done.stdout.splitlines()
    assert "time limit is over" in done.stderr


def test_what_a_script_writes_is_in_its_file_and_its_log(nodes: Nodes):
    """--output and --error are files in the workspace, patterns replaced and folders made, beside the log."""
    done = nodes.run(
        "-J fold -o logs/%x-%5j-%N.out -e logs/%A_%s.err",
        "echo hello; echo oh >&2; srun -n1 echo step\n",
    )
    folder = nodes.folder / "node0" / "workspace" / "logs"

    assert (
        "hello\nstep\n" == done.stdout == (folder / "fold-00077-127.0.0.1.out").read_text("utf-8")
    )
    assert "oh\n" == done.stderr == (folder / "77_batch.err").read_text("utf-8")


def test_tasks_hear_that_their_node_stops(nodes: Nodes):
    """TERM for a node's agent is TERM for its tasks, which may save and end as they like."""
    done = nodes.run(
        "-n 2",
        'srun bash -c \'trap "echo saved; exit 3" TERM; [ $SLURM_NODEID = 1 ] || exit 0; '
        "kill -TERM $PPID; sleep 20 >/dev/null 2>&1 & wait'; echo $?\n",
    )

    assert ["saved", "3"] == done.stdout.splitlines()
