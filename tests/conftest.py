"""What every test shares: how hard hypothesis tries, and a wheel of this tree."""

from __future__ import annotations

import gc
import os
import re
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

#: What takes longest, in the order in which it is begun: nothing long may be left for the end, when workers are idle.
LONG = (
    *SHARING, "tests/stories/", "tests/third_party/", "tests/docs/", "tests/notebooks/", "tests/meeting/",
    "tests/sim/test_schemas.py", "tests/sim_nodes/", "tests/mock/", "tests/app/", "tests/core/", "tests/typing/",
)  # fmt: skip

#: Tests whose every one starts shells, servers or machines, or plays for many seconds: slow, whatever each takes.
REAL = (
    "tests/conformance/tiny/", "tests/core/test_auction.py", "tests/core/test_backtest.py",
    "tests/house/test_node_files.py", "tests/meeting/test_crashes.py", "tests/mock/test_process_nodes",
    "tests/mock/test_pytest_plugin.py", "tests/node/test_boot.py", "tests/node/test_flow_node.py",
    "tests/node/test_healing.py", "tests/node/test_kit.py", "tests/node/test_kit_idle.py",
    "tests/node/test_kit_keeping.py", "tests/services/test_healing_machine.py", "tests/sim/test_schemas.py",
    "tests/sim_nodes/", "tests/ssh/", "tests/stories/",
)  # fmt: skip


#: What a file says all of whose tests are slow.
ALL_SLOW = re.compile(r"^pytestmark = (\[[^\]]*)?pytest\.mark\.slow\b", re.MULTILINE)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Where slow tests aren't wanted, leave out the files that have no others: loading some of them takes seconds."""
    if config.option.markexpr != "not slow" or collection_path.suffix != ".py":
        return None
    is_real = collection_path.relative_to(ROOT).as_posix().startswith(REAL)
    return True if is_real or ALL_SLOW.search(collection_path.read_text("utf-8")) else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put long tests first, mark those of real parts as slow, and give slow ones another try.

    Slow tests start real processes, which race on a machine with few cores. One that fails is run again, twice at
    most, and pytest says so; a test that fails three times has failed. Each rerun is a bug to be found.
    """
    again = config.pluginmanager.hasplugin("rerunfailures")
    items.sort(key=_turn)
    for item in items:
        if item.nodeid.startswith(REAL):
            item.add_marker(pytest.mark.slow)
        if again and item.get_closest_marker("slow") is not None:
            item.add_marker(pytest.mark.flaky(reruns=2))


def pytest_collection_finish() -> None:
    """Spare the garbage collector what was loaded for the tests: it stays to the end, and is a lot to look through."""
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """With `--dist loadfile`, let one worker run all that share an engine or a cluster, and begin with what is long."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class LoadSharing(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return next(filter(nodeid.startswith, SHARING), nodeid.partition("::")[0])

    config.option.loadscopereorder = False
    return LoadSharing(config, log)


def _turn(item: pytest.Item) -> int:
    found = (at for at, place in enumerate(LONG) if item.nodeid.startswith(place))
    return next(found, len(LONG))


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
