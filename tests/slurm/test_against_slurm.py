"""Every script of the corpus, and many more that hypothesis makes up, read by a real sbatch and by Flow."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from tests.slurm.cluster import Cluster
from tests.slurm.grammar import scripts
from tests.slurm.judge import Facts, Verdict, flow_says, slurm_says, slurm_says_of_all
from tests.slurm.rules import CORPUS, corpus

pytestmark = [pytest.mark.slow, pytest.mark.slurm]


def both(
    cluster: Cluster, script: bytes, folder: Path, *words: str, **environ: str
) -> tuple[Verdict, Verdict]:
    """Ask both, Flow with the number that Slurm gave."""
    real = slurm_says(cluster, script, folder=folder, words=words, environ=environ)
    number = real.number if isinstance(real, Facts) else ""
    ours = flow_says(script, folder=folder, words=words, environ=environ, number=number)
    return real, ours


def test_the_corpus_is_large_and_told_apart():
    """There are at least 150 whole scripts, besides single directives, and no two are the same."""
    found = corpus()

    assert sum(name in {path.stem for path in CORPUS.iterdir()} for name in found) >= 150
    assert len(set(found.values())) == len(found)


def test_flow_reads_the_corpus_as_slurm_does(cluster: Cluster, tmp_path: Path):
    """For every script: refused by both, or by none and then with the same values."""
    scripts = corpus()
    said = slurm_says_of_all(cluster, scripts, folder=tmp_path)
    differing = {}
    for place, (name, script) in enumerate(scripts.items()):
        number = getattr(said[name], "number", "")
        ours = flow_says(script, folder=tmp_path / str(place), number=number)
        if said[name] != ours:
            differing[name] = (said[name], ours)

    assert {} == differing
    assert sum(isinstance(each, Facts) for each in said.values()) > 150


@settings(suppress_health_check=list(HealthCheck), max_examples=400, derandomize=True)
@given(script=scripts())
def test_flow_reads_made_up_scripts_as_slurm_does(cluster: Cluster, tmp_path: Path, script: bytes):
    """Whatever directives a script has, Flow and Slurm agree on it."""
    real, ours = both(cluster, script, tmp_path)

    assert real == ours


SCRIPT = b"#!/bin/bash\n#SBATCH -J a -n 4 -t 10 --mem=1G --gres=gpu:2 -o a.log\ntrue\n"


@pytest.mark.parametrize(
    "words",
    [
        ("-J", "b"),
        ("-n8", "--time=20"),
        ("--mem-per-cpu=2G",),
        ("--gpus=4", "--gres=none"),
        ("-o", "b.log", "-e", "c.log"),
        ("-a", "0-3", "-d", "singleton"),
        ("-N", "x"),
        ("--unknown",),
    ],
)
def test_the_command_line_outranks_the_script(
    cluster: Cluster, tmp_path: Path, words: tuple[str, ...]
):
    """What stands before the script on sbatch's command line counts over its directives."""
    real, ours = both(cluster, SCRIPT, tmp_path, *words)

    assert real == ours


@pytest.mark.parametrize(
    "environ",
    [
        {"SBATCH_JOB_NAME": "e"},
        {"SBATCH_TIMELIMIT": "33"},
        {"SBATCH_TIMELIMIT": "x"},
        {"SBATCH_MEM_PER_CPU": "3G"},
        {"SBATCH_MEM_PER_NODE": "3G"},
        {"SBATCH_GRES": "gpu:h100:3"},
        {"SBATCH_GPUS": "4"},
        {"SBATCH_ARRAY_INX": "0-7%2"},
        {"SBATCH_NO_REQUEUE": "1"},
        {"SBATCH_NTASKS": "9", "SBATCH_NODES": "3", "SBATCH_MEM": "9G"},
        {"SBATCH_OUTPUT": "e.log", "SBATCH_ERROR": "f.log"},
        {"SBATCH_EXCLUSIVE": "", "SBATCH_OVERCOMMIT": "1"},
        {"SBATCH_CPUS_PER_TASK": "3"},
        {"SBATCH_GPUS_PER_TASK": "1"},
        {"SBATCH_GPUS_PER_NODE": "4"},
        {"SBATCH_CPUS_PER_GPU": "4"},
        {"SBATCH_SIGNAL": "what"},
        {"SBATCH_MEM_PER_CPU": "3G", "SBATCH_MEM_PER_NODE": "4G"},
        {"SBATCH_MEM_PER_CPU": "3G", "SBATCH_MEM_PER_GPU": "4G"},
    ],
)
def test_the_environment_outranks_the_script(
    cluster: Cluster, tmp_path: Path, environ: dict[str, str]
):
    """`SBATCH_*` variables count over the script's directives, and only those that sbatch knows."""
    real, ours = both(cluster, SCRIPT, tmp_path, **environ)

    assert real == ours


def test_the_command_line_outranks_the_environment(cluster: Cluster, tmp_path: Path):
    """Between a variable and the command line, the command line counts."""
    real, ours = both(cluster, SCRIPT, tmp_path, "-J", "line", SBATCH_JOB_NAME="variable")

    assert real == ours
    assert isinstance(real, Facts)
    assert "line" == real.name


@pytest.mark.parametrize(
    "script",
    [b"#!/bin/bash\n#SBATCH -N 0\ntrue\n", b"#!/bin/bash\n#PBS -N x\n#SBATCH -n 2\ntrue\n"],
)
def test_what_flow_refuses_and_slurm_takes(cluster: Cluster, tmp_path: Path, script: bytes):
    """Flow is stricter in few places: no nodes at all, and the dialects of PBS and LSF."""
    real, _ = both(cluster, script, tmp_path)

    assert isinstance(real, Facts)
