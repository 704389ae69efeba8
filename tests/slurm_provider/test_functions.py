"""A program with an App on a cluster: calls run on its nodes, and what comes of them comes back."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.local_docker.test_functions import PROGRAM, SAID
from tests.slurm_provider.cluster import RunningCluster
from tests.slurm_provider.user import HANGS_S, User
from tests.stories.simulated_mithril import end_processes_of

pytestmark = [pytest.mark.slurm, pytest.mark.slow]


@pytest.fixture
def user(tmp_path: Path, slurm: RunningCluster) -> Iterator[User]:
    """Somebody on the cluster's login node; what a failed test leaves running ends with it."""
    yield User(tmp_path, slurm)
    slurm.run("scancel", "--me")
    end_processes_of(tmp_path)


def test_calls_run_on_a_cluster(user: User):
    """Values, exceptions, prints and large results come back from a node of the cluster, which is given back."""
    folder = user.home / "code"
    folder.mkdir()
    (folder / "program.py").write_text(PROGRAM.replace('gpu="8xh100"', 'gpu="cpu"'), "utf-8")
    done = subprocess.run(
        [sys.executable, "program.py"],
        cwd=folder,
        env={**user.environ(""), "FLOW_PROVIDER": "slurm"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=HANGS_S,
        check=False,
    )

    assert 0 == done.returncode, done.stderr
    assert SAID == json.loads(done.stdout)
    assert [] == user.left()
