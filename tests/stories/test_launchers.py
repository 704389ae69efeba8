"""Launchers as people know them start on nodes that boot, by what the guide tells and nothing more.

Each reaches the other nodes by the allocation's own key pair, through OpenSSH.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sim_nodes.kit import openssh, refuse
from tests.stories.simulated_mithril import User, end_processes_of, serving, set_up
from tests.stories.test_surviving_preemption import libraries_of_nodes

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not Path("/proc/self/environ").exists(), reason="processes are found by /proc"
    ),
]

NODES, SLOTS = 2, 2
TRAIN = """
from accelerate import Accelerator
import torch

group = Accelerator(cpu=True)
ranks = group.gather(torch.tensor([group.process_index]))
print(f"rank {group.process_index} of {group.num_processes} sees {ranks.tolist()}\\n", end="", flush=True)
group.end_training()
"""
ACCELERATE = """#!/usr/bin/env python3
import sys
from accelerate.commands.accelerate_cli import main

sys.exit(main())
"""
NODES_PATH = "bin:/usr/local/bin:/usr/bin:/bin"


@pytest.fixture
def user(tmp_path: Path) -> Iterator[User]:
    """Someone set up for a cloud whose nodes boot; in the end nothing of theirs runs."""
    openssh()
    someone = User(tmp_path)
    someone.folder.mkdir()
    try:
        with serving(someone) as simulator:
            if not simulator.said["nodes_boot"]:
                refuse("the simulator's nodes can't boot here")
            set_up(someone, simulator)
            yield someone
            assert [] == simulator.live()
    finally:
        left = end_processes_of(someone.home)
    assert [] == left


def test_mpirun_starts_ranks_on_all_nodes(user: User):
    """`mpirun` on the first node, by the hostfile, starts a rank a GPU on each, over ssh."""
    if shutil.which("mpirun") is None:
        refuse("needs Open MPI: Debian's openmpi-bin")
    line = "mpirun --hostfile $FLOW_HOSTFILE sh -c 'echo rank $OMPI_COMM_WORLD_RANK on $(hostname)'"

    said = said_by(user, line, "--run-on", "first-node")

    assert [f"rank {each} on node {each // SLOTS}" for each in range(NODES * SLOTS)] == said


@pytest.mark.torch
def test_accelerate_forms_one_group(user: User):
    """`accelerate launch` on every node, by the file that is there, makes a group of a rank a GPU."""
    place = libraries_of_nodes()
    if importlib.util.find_spec("accelerate") is None:
        refuse("needs accelerate: the extra `torch`")
    (user.folder / "train.py").write_text(TRAIN)
    line = "accelerate launch --config_file $ACCELERATE_CONFIG_FILE train.py"
    # The program as pip puts it on a PATH; the nodes have no environment of pip's, but this one's libraries.
    program = user.folder / "bin" / "accelerate"
    program.parent.mkdir()
    program.write_text(ACCELERATE)
    program.chmod(0o755)

    said = said_by(user, line, "--env", f"PATH={NODES_PATH}", "--env", f"PYTHONPATH={place}")

    ranks = list(range(NODES * SLOTS))
    assert [f"rank {each} of {len(ranks)} sees {ranks}" for each in ranks] == said


def said_by(user: User, line: str, *words: str) -> list[str]:
    """Run a command on two nodes with two GPUs each; return what its ranks said, in their order."""
    ran = user.flow(
        "submit", line, "-i", f"{SLOTS}xa100", "-N", str(NODES), "--name", "job", *words
    )
    assert not user.is_watched()
    said = [each.partition("] ")[2] for each in ran.out.splitlines()]
    return sorted(
        re.sub(r"job-\w+-(\d)", r"node \1", each) for each in said if each.startswith("rank")
    )
