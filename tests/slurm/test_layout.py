"""srun's options and who runs what, without a process."""

from __future__ import annotations

import pytest

from flow_core.domain.slurm.values import count_hosts
from flow_core.node.slurm.layout import (
    Wrong,
    counts,
    expanded,
    gpus_of_a_task,
    hostnames,
    read_words,
    shares,
    task_env,
)

HOSTS = ["a", "b", "c"]


def sizes(words: str, **env: str) -> list[tuple[str, tuple[int, ...]]]:
    """Which host runs which tasks."""
    options, _ = read_words([*words.split(), "x"])
    return [(each.host, each.tasks) for each in shares(options, env, HOSTS)]


@pytest.mark.parametrize(
    ("words", "env", "expected"),
    [
        ("", {}, [("a", (0,)), ("b", (1,)), ("c", (2,))]),
        ("", {"SLURM_NTASKS": "5"}, [("a", (0, 1)), ("b", (2, 3)), ("c", (4,))]),
        ("-n 2", {}, [("a", (0,)), ("b", (1,))]),
        ("-n4 -N2", {"SLURM_NTASKS": "9"}, [("a", (0, 1)), ("b", (2, 3))]),
        ("-N 1", {"SLURM_NTASKS": "3"}, [("a", (0, 1, 2))]),
        ("--ntasks-per-node=2", {}, [("a", (0, 1)), ("b", (2, 3)), ("c", (4, 5))]),
        ("--nodes=1 --ntasks=1 -w b", {}, [("b", (0,))]),
        ("-w c", {}, [("a", (0,)), ("b", (1,)), ("c", (2,))]),
        ("-w c -N 2", {}, [("a", (0,)), ("c", (1,))]),
        ("-w c -n 1", {}, [("c", (0,))]),
        ("--ntasks-per-node=2", {"SLURM_NTASKS": "3"}, [("a", (0,)), ("b", (1,)), ("c", (2,))]),
        ("--ntasks=1", {"SLURM_NTASKS": "8"}, [("a", (0,))]),
    ],
)
def test_tasks_are_spread_in_blocks(words: str, env: dict[str, str], expected: object):
    """Neighbours share a node, the first nodes have one more, and fewer tasks than nodes use fewer nodes."""
    assert expected == sizes(words, **env)


@pytest.mark.parametrize(
    ("words", "options", "command"),
    [
        ("-l -n2 hostname -f", {"label": "", "ntasks": "2"}, ["hostname", "-f"]),
        ("-lu -N 2 -- -x", {"label": "", "unbuffered": "", "nodes": "2"}, ["-x"]),
        ("--kill-on-bad-exit=1 a", {"kill-on-bad-exit": "1"}, ["a"]),
        ("-K a -n 4", {"kill-on-bad-exit": ""}, ["a", "-n", "4"]),
        ("-K1 a", {"kill-on-bad-exit": "1"}, ["a"]),
        ("--mpi=pmix --exact a", {"mpi": "pmix", "exact": ""}, ["a"]),
        ("--cpus-per-task 4 a", {"cpus-per-task": "4"}, ["a"]),
        ("--ntasks-per-n=2 a", {"ntasks-per-node": "2"}, ["a"]),
    ],
)
def test_options_end_where_the_command_begins(
    words: str, options: dict[str, str], command: list[str]
):
    """Letters may stand together, values be joined or not, and what follows the command is the command's."""
    assert (options, command) == read_words(words.split())


@pytest.mark.parametrize("words", ["", "-n", "--what a", "-n x a", "-N 4 a", "-w z a", "-n 0 a"])
def test_what_cant_be_done_is_said(words: str):
    """No command, no value, an unknown option, and more nodes than there are, are refused with a sentence."""
    with pytest.raises(Wrong):
        shares(read_words(words.split())[0], {}, HOSTS)


def test_a_task_knows_its_place():
    """Its number, its number on its node, its node, and the step's size are its variables."""
    found = shares({"ntasks": "5"}, {}, HOSTS)
    env = task_env(found, 1, 1, step=3, gpus_per_task=2)

    assert ("3", "1", "1", "b") == (
        env["SLURM_PROCID"], env["SLURM_LOCALID"], env["SLURM_NODEID"], env["SLURMD_NODENAME"],
    )  # fmt: skip
    assert ("5", "3", "3", "2(x2),1") == (
        env["SLURM_NTASKS"], env["SLURM_NNODES"], env["SLURM_STEP_ID"], env["SLURM_STEP_TASKS_PER_NODE"],
    )  # fmt: skip
    assert ("2,3", "2,3") == (env["CUDA_VISIBLE_DEVICES"], env["SLURM_GTIDS"])


def test_gpus_of_a_task_are_its_own_only_when_asked_for():
    """--gpus-per-task, here or in the script, divides a node's GPUs; without it each task sees them all."""
    assert 0 == gpus_of_a_task({}, {})
    assert 2 == gpus_of_a_task({}, {"SLURM_GPUS_PER_TASK": "h100:2"})
    assert 1 == gpus_of_a_task({"gpus-per-task": "1"}, {"SLURM_GPUS_PER_TASK": "2"})


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("n[1-3,7]", ["n1", "n2", "n3", "n7"]),
        ("b[01-02],c", ["b01", "b02", "c"]),
        ("r[0-1]c[0-1]", ["r0c0", "r0c1", "r1c0", "r1c1"]),
        ("10.0.0.1,10.0.0.2", ["10.0.0.1", "10.0.0.2"]),
        ("", []),
    ],
)
def test_lists_of_hosts(text: str, names: list[str]):
    """Brackets are expanded in order, zeros kept; the reader of scripts counts the same."""
    assert names == hostnames(text)
    assert len(names) == count_hosts(text)


def test_small_spellings():
    """Counts are written as runs, and patterns of file names are replaced."""
    assert "2(x2),1" == counts([2, 2, 1])
    assert "o-7-003" == expanded("o-%j-%3t", {"j": 7, "t": 3})
