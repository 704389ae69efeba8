"""The pytest plugin: light at pytest's start, and a whole cloud in a test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLUGIN = "flow_providers.mock.pytest_plugin"
HEAVY = (
    "attr",
    "attrs",
    "sqlite3",
    "click",
    "httpx",
    "asyncssh",
    "rich",
    "keyring",
    "flow_core",
    "flow_adapters",
)

SUITE = '''
import flow

def test_outbid_training_comes_back(pretend_cloud, session, clock):
    """A told training is preempted four times in three days and ends well."""
    pretend_cloud.on("python train.py", takes="60h", prints=["half", "done"], checkpoints=True)
    task = flow.run("python train.py", instance_type="8xh100", num_instances=2, name="resnet")
    for _ in range(4):
        clock.advance(hours=10)
        pretend_cloud.outbid("resnet")
    clock.advance(days=1, hours=6)
    assert task.result() == 0
    assert task.state == flow.TaskState.COMPLETED
    assert [line for line in task.logs() if "done" in line]
    assert session.provider.market.bids(live=True) == []
    assert pretend_cloud.ledger().total == task.cost

def test_price_above_the_limit(pretend_cloud, session, clock):
    """Whoever is outbid gets notice first, and then loses its nodes."""
    task = flow.run("sleep infinity", instance_type="8xh100", max_price_per_hour=20)
    clock.advance(minutes=3)
    assert task.state == flow.TaskState.RUNNING
    pretend_cloud.raise_price("$25.00")
    assert task.state == flow.TaskState.PREEMPTING
    clock.advance(minutes=5)
    assert task.state == flow.TaskState.PREEMPTED

def test_worlds_are_new(pretend_cloud, session):
    """Nothing of another test is left."""
    assert session.tasks.views() == []
'''


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run Python with this checkout on its path and no plugin by entry point."""
    environ = {
        "PYTHONPATH": str(ROOT),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PATH": "/usr/bin:/bin",
        "HOME": str(cwd),
    }
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )


def test_plugin_leaves_everything_heavy_unloaded(tmp_path: Path):
    """pytest with the plugin, collecting nothing of ours, has loaded none of Flow's libraries."""
    (tmp_path / "test_modules.py").write_text(
        "import sys\ndef test_it():\n    print('loaded', *sorted(m for m in sys.modules))\n"
    )
    done = run("-m", "pytest", "-q", "-s", "-p", PLUGIN, "test_modules.py", cwd=tmp_path)
    [line] = [line for line in done.stdout.splitlines() if line.startswith("loaded")]
    loaded = set(line.split())

    assert PLUGIN in loaded
    assert [] == [name for name in HEAVY if name in loaded]


def test_users_suite_runs_in_a_pretend_cloud(tmp_path: Path):
    """A suite that knows only `import flow` and the fixtures plays three days in no time."""
    (tmp_path / "test_suite.py").write_text(SUITE)
    done = run("-m", "pytest", "-q", "-p", PLUGIN, "test_suite.py", cwd=tmp_path)

    assert 0 == done.returncode, done.stdout + done.stderr
    assert "3 passed" in done.stdout
