"""What every test shares: how hard hypothesis tries, and a wheel of this tree."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Machines differ and are shared, so no example is judged by its time.
settings.register_profile("default", deadline=None, max_examples=25)
settings.register_profile(
    "ci",
    deadline=None,
    max_examples=100,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("ci" if os.environ.get("CI") else "default")

ROOT = Path(__file__).resolve().parents[1]

#: Tests that share an engine or a cluster, which takes longer to start than they do: one worker runs them all.
SHARING = ("tests/local_docker/", "tests/slurm/", "tests/slurm_provider/")

#: Tests whose every one starts shells, servers or machines, or plays for many seconds: slow, whatever each takes.
REAL = (
    "tests/conformance/tiny/", "tests/core/test_auction.py", "tests/core/test_backtest.py",
    "tests/house/test_node_files.py", "tests/meeting/test_crashes.py", "tests/mock/test_process_nodes",
    "tests/node/test_boot.py", "tests/node/test_flow_node.py", "tests/node/test_healing.py", "tests/node/test_kit.py",
    "tests/node/test_kit_idle.py", "tests/services/test_healing_machine.py", "tests/sim_nodes/", "tests/ssh/",
    "tests/stories/",
)  # fmt: skip


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep each file's tests on one worker, mark those of real parts as slow, and give slow ones another try.

    Slow tests start real processes, which race on a machine with few cores. One that fails is run again, twice at
    most, and pytest says so; a test that fails three times has failed. Each rerun is a bug to be found.
    """
    again = config.pluginmanager.hasplugin("rerunfailures")
    for item in items:
        place = item.nodeid.partition("::")[0]
        group = next((each for each in SHARING if place.startswith(each)), place)
        if config.pluginmanager.hasplugin("xdist"):
            item.add_marker(pytest.mark.xdist_group(group))
        if place.startswith(REAL):
            item.add_marker(pytest.mark.slow)
        if again and item.get_closest_marker("slow") is not None:
            item.add_marker(pytest.mark.flaky(reruns=2))


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
