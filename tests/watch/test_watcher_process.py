"""The watcher is one real process per user, and everything that must happen without a command happens in it."""

from __future__ import annotations

import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from flow_adapters.clocks import SystemClock
from flow_adapters.locks import is_held
from flow_adapters.watch import LOCK_NAME, ProcessWatch
from flow_adapters.wiring import connect
from flow_core.domain.status import TaskState
from flow_core.domain.task import TaskSpec
from flow_core.services.session import Session

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="the mock's nodes need POSIX processes"),
]

#: Real seconds that anything here may take on a busy machine.
PATIENCE_S = 60.0


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Surroundings of a user with a state folder of their own and a key in their environment."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "FLOW_STATE_DIR": str(tmp_path / "state"),
        "FLOW_CONFIG_DIR": str(tmp_path / "config"),
        "FLOW_PROVIDER": "mock",
        "FLOW_MOCK_INSTANT": "yes",
        "MITHRIL_API_KEY": "fkey_nobody_may_see_this",
    }


def watcher_pid(session: Session) -> int:
    """Return the process id of the watcher that this session's watch started last."""
    child = session.ports.watch._child  # type: ignore[attr-defined]
    assert child is not None
    return int(child.pid)


def test_a_task_ends_with_no_command_running(environ: dict[str, str], tmp_path: Path):
    """A detached task's bid is withdrawn by the watcher, which then goes."""
    session = connect(environ=environ)
    session.tasks.submit(TaskSpec(command="true", name="alone"))

    code = session.ports.watch._child.wait(PATIENCE_S)  # type: ignore[attr-defined]

    assert 0 == code
    assert not is_held(tmp_path / "state" / LOCK_NAME)
    record = connect(environ=environ).tasks.record("alone")
    assert record.released
    assert 0 == record.exit_code


def test_a_killed_watcher_is_started_again(environ: dict[str, str]):
    """After kill -9 the next command that waits starts another watcher, and the task ends as it should."""
    session = connect(environ=environ)
    session.tasks.submit(TaskSpec(command="sleep infinity", name="t"))
    first = watcher_pid(session)
    os.kill(first, signal.SIGKILL)
    os.waitpid(first, 0)

    heir = connect(environ=environ)
    heir.tasks.cancel("t")
    view = heir.tasks.wait("t", timeout_s=PATIENCE_S)

    assert TaskState.CANCELLED is view.state
    assert view.record.released
    assert [] == list(heir.provider.market.bids(live=True))


def test_many_commands_start_one_watcher(environ: dict[str, str], tmp_path: Path):
    """Of the watchers that several commands start at once, one stays."""
    state = tmp_path / "state"
    state.mkdir()
    clock = SystemClock()
    watches = [ProcessWatch(state, clock=clock, environ=environ, secrets={}) for _ in range(4)]

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda watch: watch.ensure(), watches))
    codes = [watch._child.wait(PATIENCE_S) for watch in watches if watch._child is not None]

    assert {0} == set(codes)
    assert not is_held(state / LOCK_NAME)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="/proc shows it")
def test_the_watcher_shows_no_secret(environ: dict[str, str]):
    """A key of the command's environment is in neither the watcher's arguments nor its environment."""
    session = connect(environ=environ)
    session.tasks.submit(TaskSpec(command="sleep infinity", name="t"))
    process = Path(f"/proc/{watcher_pid(session)}")

    shown = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
    session.tasks.cancel("t")
    session.tasks.wait("t", timeout_s=PATIENCE_S)

    assert b"FLOW_STATE_DIR" in shown
    assert b"nobody_may_see_this" not in shown
