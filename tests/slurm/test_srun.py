"""srun between real processes: two nodes in two folders, the kit in each, as the helper would start them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from flow_adapters.node_files import load_kit
from flow_cli.commands.slurm import conversion

pytestmark = pytest.mark.slow

KEY = "k" * 32


def free_ports(count: int) -> int:
    """The first of `count` neighbouring ports that nobody listens on, below those that systems give out."""
    for first in range(21_000 + os.getpid() % 1_000, 32_000, count):
        with ExitStack() as held:
            try:
                for port in range(first, first + count):
                    held.enter_context(socket.create_server(("", port)))
            except OSError:
                continue
            return first
    raise AssertionError("every port is taken")


class Nodes:
    """Nodes that share this host; each has a folder, and ends with the script."""

    def __init__(self, folder: Path, count: int) -> None:
        self.folder, self.count = folder, count
        self.port = free_ports(count + 1)
        self.running: list[subprocess.Popen[str]] = []

    def env(self, rank: int) -> dict[str, str]:
        """What the helper tells a node of this rank."""
        home = self.folder / f"node{rank}"
        (home / "workspace").mkdir(parents=True, exist_ok=True)
        (home / "kit.zip").write_bytes(load_kit())
        return {
            "PATH": os.environ["PATH"],
            "FLOW_HOME": str(home),
            "FLOW_NODES": " ".join(["127.0.0.1"] * self.count),
            "FLOW_NUM_NODES": str(self.count),
            "FLOW_NODE_RANK": str(rank),
            "FLOW_GPUS": "4",
            "MASTER_PORT": str(self.port),
        }

    def run(self, directives: str, body: str) -> subprocess.CompletedProcess[str]:
        """Run a script over all nodes to its end; the others must end with it."""
        script = self.folder / "job.slurm"
        script.write_text(f"#!/bin/bash\n#SBATCH -N {self.count} {directives}\n{body}", "utf-8")
        found = conversion(str(script), (), environ={}, number=77, key=KEY)
        assert found.task is not None, found.refusals
        env = found.task["env"]
        assert isinstance(env, dict)
        for rank in reversed(range(self.count)):
            own = {**self.env(rank), **env}
            self.running.append(
                subprocess.Popen(
                    ["bash", "-c", str(found.task["command"])],
                    cwd=Path(own["FLOW_HOME"]) / "workspace",
                    env=own,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                    start_new_session=True,
                )
            )
        first = self.running[-1]
        out, err = first.communicate(timeout=60)
        ends = [each.wait(timeout=20) for each in self.running[:-1]]
        assert [0] * (self.count - 1) == ends, [each.communicate() for each in self.running[:-1]]
        return subprocess.CompletedProcess([], first.returncode, out, err)


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    """Two nodes; whatever is left of them is killed in the end."""
    nodes = Nodes(tmp_path, 2)
    yield nodes
    for each in nodes.running:
        if each.poll() is None:
            each.kill()
        each.communicate()


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


def test_commands_of_the_queue_say_where_to_go(nodes: Nodes):
    """squeue and its kin fail with a sentence instead of hanging or lying."""
    done = nodes.run("-n 2", "squeue; echo $?; sbatch x.sh; echo $?\n")

    assert "1\n1\n" == done.stdout
    assert "flow status" in done.stderr
    assert "flow submit" in done.stderr


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
