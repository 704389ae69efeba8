"""What every test shares: how hard hypothesis tries, and a wheel of this tree."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Machines differ and are shared, so no example is judged by its time.
settings.register_profile("default", deadline=None, max_examples=50)
settings.register_profile(
    "ci",
    deadline=None,
    max_examples=200,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("ci" if os.environ.get("CI") else "default")

ROOT = Path(__file__).resolve().parents[1]

#: Where real processes race on a machine with few cores. A test there that fails once is run once more, and pytest
#: says so; a test that fails twice has failed. Each flake is a bug to be found: see the issue tracker, not this list.
RACING = ("tests/sim_nodes/", "tests/mock/test_process_nodes", "tests/watch/", "tests/ssh/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of real processes a second try."""
    for item in items:
        if item.nodeid.startswith(RACING):
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built once from this tree with the tools that are here."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT],
        check=True,
        capture_output=True,
        text=True,
    )
    [built] = folder.glob("*.whl")
    return built
