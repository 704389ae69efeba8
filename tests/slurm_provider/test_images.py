"""Images on a cluster: refused where nothing runs them, else by what the cluster has."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from flow_core.errors import InvalidRequest
from flow_core.node.kit import image
from flow_providers.conformance.bed import Bed, refuses
from tests.slurm_provider.cluster import RunningCluster
from tests.slurm_provider.test_kit import SlurmRig
from tests.slurm_provider.user import User

#: Runs what comes after the image, and says how it was called.
APPTAINER = """#!/bin/sh
echo "called: $*"
while [ "${1#docker:}" = "$1" ]; do shift; done
shift
exec "$@"
"""


@pytest.mark.slurm
@pytest.mark.slow
def test_an_image_is_refused_where_nothing_runs_it(tmp_path: Path, slurm: RunningCluster):
    """On a cluster with neither pyxis nor apptainer a task that names an image is refused, and leaves no bid."""
    bed = Bed(SlurmRig(tmp_path, slurm))
    request = bed.request()
    named = evolve(request, launch=evolve(request.launch, image="ubuntu:22.04"))
    error = refuses(InvalidRequest, lambda: bed.market.place(named))

    assert "ubuntu:22.04: this cluster has neither pyxis nor apptainer" in error.message
    assert [] == list(bed.market.bids())


@pytest.mark.slurm
@pytest.mark.slow
def test_apptainer_runs_the_command(tmp_path: Path, slurm: RunningCluster):
    """Where there is an apptainer, the command runs by it, in its workspace, with Docker's name of the image."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "apptainer").write_text(APPTAINER)
    (tmp_path / "bin" / "apptainer").chmod(0o755)
    user = User(tmp_path, slurm, path=str(tmp_path / "bin"))
    line = 'echo "in $(basename "$PWD") with $RANK"'
    said = user.flow("submit", line, "-i", "cpu", "--image", "ubuntu:22.04", "--yes")

    assert "docker://ubuntu:22.04 sh -c" in said
    assert "in work-0 with 0" in said


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("ubuntu:22.04", "ubuntu:22.04"),
        ("nvcr.io/nvidia/pytorch:24.01-py3", "nvcr.io#nvidia/pytorch:24.01-py3"),
        ("nvidia/cuda:12.1.0-base", "nvidia/cuda:12.1.0-base"),
    ],
)
def test_pyxis_is_told_by_options_of_srun(name: str, told: str):
    """With pyxis the command is a step in the image on its own node, and a registry is set apart as pyxis has it."""
    env = {"FLOW_IMAGES": "pyxis", "SLURM_JOB_ID": "7", "SLURMD_NODENAME": "n2", "PWD": "/w"}
    words = image.step({"name": name, "mounts": ["/data"]}, env, ["python", "train.py"])

    assert ["srun", "--jobid=7", "--nodelist=n2"] == [words[0], *words[3:4], *words[6:7]]
    assert f"--container-image={told}" in words
    assert ["--container-workdir=/w", "python", "train.py"] == words[-3:]
