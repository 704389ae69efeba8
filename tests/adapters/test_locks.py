"""Locks on files: one holder at a time, and none that outlives its process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from flow_adapters.clocks import ManualClock
from flow_adapters.file_systems import network_type
from flow_adapters.locks import FileLock, hold, is_held
from flow_core.errors import Misconfigured
from tests.strategies import EPOCH

ROOT = Path(__file__).resolve().parents[2]
HOLDER = """
import sys
from pathlib import Path
from flow_adapters.locks import hold
with hold(Path(sys.argv[1])) as mine:
    print(mine, flush=True)
    sys.stdin.read()
"""


def test_one_holds_and_others_dont(tmp_path):
    """A lock is had once; giving it up frees it and leaves no file."""
    path = tmp_path / "new" / "lock"
    first, second = FileLock(path), FileLock(path)

    assert (True, True, False) == (first.take(), first.take(), second.take())
    assert first.is_mine
    assert is_held(path)
    second.give_up()
    first.give_up()
    first.give_up()
    assert not path.exists()
    assert not is_held(path)
    assert second.take()
    second.give_up()


def test_a_left_over_file_is_no_lock(tmp_path):
    """A file that nobody holds counts for nothing."""
    path = tmp_path / "lock"
    path.write_text("")

    assert not is_held(path)
    with hold(path) as mine:
        assert mine


def test_looking_is_not_holding(tmp_path):
    """However often others look whether a lock is held, whoever takes it gets it."""
    path = tmp_path / "lock"
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            path.touch()
            is_held(path)

    lookers = [threading.Thread(target=look) for _ in range(3)]
    for each in lookers:
        each.start()
    missed = 0
    for _ in range(200):
        with hold(path) as mine:
            missed += not mine
    done.set()
    for each in lookers:
        each.join()

    assert 0 == missed


def test_patience_is_kept(tmp_path):
    """A patient one tries until its time is over, by its clock."""
    path, clock = tmp_path / "lock", ManualClock(EPOCH)
    with hold(path), hold(path, patience_s=2.0, clock=clock) as mine:
        assert not mine

    assert 2.0 <= (clock.now() - EPOCH).total_seconds() < 3.0


def test_patience_is_rewarded(tmp_path):
    """What is given up meanwhile is had."""
    lock, clock = FileLock(tmp_path / "lock"), ManualClock(EPOCH)
    lock.take()
    due = [EPOCH.replace(second=1)]
    clock.add_stepper(lambda: due[0] if due else None, lambda: (due.clear(), lock.give_up()))
    with hold(lock.path, patience_s=5.0, clock=clock) as mine:
        assert mine


def test_a_lock_ends_with_its_process(tmp_path):
    """While another process lives, its lock is held; killed, it holds nothing."""
    path = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        said = process.stdout.readline().strip()
        while_alive = is_held(path), FileLock(path).take()
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    with hold(path) as mine:
        after = mine

    assert ("True", (True, False), True) == (said, while_alive, after)


def test_a_lock_that_cant_be_made_is_named(tmp_path):
    """A file in the way of the folder is told with the lock's name."""
    (tmp_path / "state").write_text("")
    with pytest.raises(Misconfigured, match="state/lock"):
        FileLock(tmp_path / "state" / "lock").take()


def test_the_deepest_mount_counts(tmp_path):
    """A path lies on the file system that is mounted nearest above it; names may hold spaces."""
    odd = tmp_path / "a b" / "c"
    odd.mkdir(parents=True)
    mounts = tmp_path / "mountinfo"
    name = str(tmp_path / "a b").replace(" ", r"\040")
    mounts.write_text(
        "1 1 0:1 / / rw - ext4 /dev/a rw\n"
        f"2 1 0:2 / {tmp_path} rw - nfs4 s:/ rw\n"
        f"3 2 0:3 / {name} rw,noatime shared:1 master:2 - fuse.sshfs s: rw\n"
        f"4 3 0:4 / {name}/c rw - tmpfs t rw\n"
        "broken line\n"
    )

    assert "nfs4" == network_type(tmp_path / "x", mounts=mounts)
    assert "fuse.sshfs" == network_type(tmp_path / "a b" / "x", mounts=mounts)
    assert network_type(odd / "x", mounts=mounts) is None
    assert network_type(Path("/elsewhere"), mounts=mounts) is None
    assert network_type(tmp_path, mounts=tmp_path / "missing") is None
