"""A real torch.distributed group of four containers, with this machine's own torch mounted into them."""

from __future__ import annotations

import subprocess
import sysconfig
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.local_docker.engine import PYTHON_IMAGE
from tests.local_docker.user import User

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.torch]

TRAIN = """
import torch
import torch.distributed as dist

dist.init_process_group("gloo")
total = torch.tensor([float(dist.get_rank() + 1)])
dist.all_reduce(total)
print("rank %d of %d: %g" % (dist.get_rank(), dist.get_world_size(), total.item()))
dist.destroy_process_group()
"""


def test_four_containers_form_a_gloo_group(user: User, tmp_path: Path):
    """Started with what every node is told and nothing else, four ranks sum what each has."""
    torch = find_spec("torch")
    if torch is None or torch.origin is None:
        pytest.skip("torch isn't installed")
    if python_of_image(user.host) != sysconfig.get_python_version():
        pytest.skip("the image has another Python than this machine, whose torch it would borrow")
    (user.home / "code").mkdir()
    (user.home / "code" / "train.py").write_text(TRAIN)
    packages = Path(torch.origin).parents[1]
    said = user.flow(
        "submit", "python3 train.py", "-i", "cpu", "-N", "4", "--env", "PYTHONPATH=/packages",
        "--env", "OMP_NUM_THREADS=1", "--option", f"local-docker.mount={packages}:/packages:ro", "--yes",
    )  # fmt: skip

    for rank in range(4):
        assert f"rank {rank} of 4: 10" in said


def python_of_image(host: str) -> str:
    """The version of the Python in the test image, such as 3.11."""
    program = "import sysconfig; print(sysconfig.get_python_version())"
    command = ["docker", "--host", host, "run", "--rm", PYTHON_IMAGE, "python3", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.strip()
