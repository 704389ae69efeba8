"""Launchers as people know them start on nodes that boot, by what the guide tells and nothing more.

Each reaches the other nodes by the allocation's own key pair, through OpenSSH.
"""

from __future__ import annotations

import importlib.util
import os
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
#: `deepspeed.init_distributed` would first compile for minutes what a CPU adds up by.
SUM = """
import torch
import torch.distributed as dist

dist.init_process_group("gloo")
ranks = [torch.zeros(1, dtype=int) for _ in range(dist.get_world_size())]
dist.all_gather(ranks, torch.tensor([dist.get_rank()]))
seen = [int(each) for each in ranks]
print(f"rank {dist.get_rank()} of {dist.get_world_size()} sees {seen}\\n", end="", flush=True)
dist.barrier()
dist.destroy_process_group()
"""
#: A program as pip puts it on a PATH; the nodes have no environment of pip's, but this one's libraries.
PROGRAM = """#!/usr/bin/env python3
import sys
from {module} import main

sys.exit(main())
"""
NODES_PATH = "bin:/usr/local/bin:/usr/bin:/bin"


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    """Someone set up for a cloud whose nodes boot, who tries one launcher after another; in the end nothing runs."""
    openssh()
    someone = User(tmp_path_factory.mktemp("home"))
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
    line = "accelerate launch --config_file $ACCELERATE_CONFIG_FILE train.py"
    options = from_pip(user, "accelerate", "accelerate.commands.accelerate_cli", TRAIN)

    assert seen_by_all() == said_by(user, line, *options)


@pytest.mark.torch
def test_deepspeed_forms_one_group(user: User):
    """`deepspeed` on the first node, by the hostfile and pdsh, starts a rank a GPU on each, which make a group."""
    if shutil.which("pdsh") is None:
        refuse("needs pdsh: Debian's package of that name")
    line = "deepspeed --hostfile $FLOW_HOSTFILE train.py"
    options = from_pip(user, "deepspeed", "deepspeed.launcher.runner", SUM)

    found = said_by(user, line, *options, "--env", "DS_ACCELERATOR=cpu", "--run-on", "first-node")

    assert seen_by_all() == found


def from_pip(user: User, name: str, module: str, train: str) -> tuple[str, ...]:
    """Give a launcher and what it is to start to the user's code; return the options that let nodes find it."""
    place = libraries_of_nodes()
    found = importlib.util.find_spec(name)
    if found is None:
        refuse(f"needs {name} from PyPI")
    (user.folder / "train.py").write_text(train)
    program = user.folder / "bin" / name
    program.parent.mkdir(exist_ok=True)
    program.write_text(PROGRAM.format(module=module))
    program.chmod(0o755)
    places = dict.fromkeys([str(Path(found.origin).parents[1]), str(place)])
    return ("--env", f"PATH={NODES_PATH}", "--env", f"PYTHONPATH={os.pathsep.join(places)}")


def seen_by_all() -> list[str]:
    """What the ranks of one group say of it."""
    ranks = list(range(NODES * SLOTS))
    return [f"rank {each} of {len(ranks)} sees {ranks}" for each in ranks]


def said_by(user: User, line: str, *words: str) -> list[str]:
    """Run a command on two nodes with two GPUs each; return what its ranks said, in their order."""
    ran = user.flow(
        "submit", line, "-i", f"{SLOTS}xa100", "-N", str(NODES), "--name", "job", *words
    )
    assert not user.is_watched()
    # Launchers may have put the node's address before.
    said = re.findall(r"\brank \d.*", ran.out)
    return sorted(re.sub(r"job-\w+-(\d)", r"node \1", each) for each in said)
