"""Code that changes while its task runs, and a delivery whose deliverer was killed."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.cli.test_process import Shell, is_watcher, shell

__all__ = ["shell"]
pytestmark = pytest.mark.slow


def test_changed_code_reaches_a_task_that_runs(shell: Shell):
    """`flow upload` from anywhere brings what changed; a second time the nodes have it already."""
    code = Path(shell.folder) / "code"
    code.mkdir()
    (code / "word").write_text("old")
    wait = "until grep -q new word; do sleep 0.1; done; cat word"
    begun = shell.flow("submit", wait, "-i", "a100", "--code", "code", "--name", "waits", "-d")
    (code / "word").write_text("new\n")
    first = shell.flow("upload", "waits", "--json")
    second = shell.flow("upload", "waits")
    log = shell.flow("logs", "waits", "-f")

    assert 0 == begun.returncode, begun.stderr.decode()
    assert 0 == first.returncode, first.stderr.decode()
    told = json.loads(first.stdout)
    assert ("upload", "waits", True, 1) == (
        told["kind"],
        told["task"],
        told["changed"],
        told["files"],
    )
    assert log.stdout.endswith(b"new\n")
    assert 0 == second.returncode or b"is over" in second.stderr


def test_too_much_code_is_asked_about(shell: Shell):
    """Without a terminal the largest are named and nothing is placed; --yes goes ahead."""
    big = Path(shell.folder) / "weights.bin"
    with big.open("wb") as file:
        file.truncate(501_000_000)
    refused = shell.flow("submit", "true", "-i", "a100", "-d")
    (Path(shell.folder) / ".flowignore").write_text("weights.bin\n")
    placed = shell.flow("submit", "sleep 60", "-i", "a100", "-d", "--name", "small")
    (Path(shell.folder) / ".flowignore").unlink()
    again = shell.flow("upload", "small")

    assert 125 == refused.returncode or 2 == refused.returncode
    assert b"weights.bin (501.0 MB)" in refused.stderr
    assert b"--yes" in refused.stderr
    assert 0 == placed.returncode, placed.stderr.decode()
    assert b"weights.bin (501.0 MB)" in again.stderr


def test_a_delivery_that_was_killed_is_completed(shell: Shell):
    """After kill -9 of the watcher nobody knows the secret; `flow upload` from a shell that does completes it all."""
    with (Path(shell.folder) / "big").open("wb") as file:
        file.truncate(300_000_000)
    shell.environ["TOKEN"] = "s3cr3t"
    line = "stat -c %s big; printf %s $TOKEN | wc -c"
    begun = shell.flow("submit", line, "-i", "a100", "--secret", "TOKEN", "--name", "cut", "-d")
    state = shell.environ["FLOW_STATE_DIR"]
    for process in Path("/proc").glob("[0-9]*"):
        if is_watcher(process, state):
            os.kill(int(process.name), signal.SIGKILL)
    del shell.environ["TOKEN"]
    killed = json.loads(shell.flow("status", "cut", "--json").stdout)
    for _ in range(60):
        told = shell.flow("logs", "cut")
        if b"waiting for its files" in told.stdout + told.stderr:
            break
    without = shell.flow("upload", "cut")
    shell.environ["TOKEN"] = "s3cr3t"
    done = shell.flow("upload", "cut")
    log = shell.flow("logs", "cut", "-f")

    assert 0 == begun.returncode, begun.stderr.decode()
    assert not killed["watcher_running"]
    assert b"waiting for its files" in told.stdout + told.stderr
    assert b"TOKEN is not in this shell's environment" in without.stderr
    assert 0 == done.returncode, done.stderr.decode()
    assert b"begin now" in done.stderr
    assert log.stdout.endswith(b"300000000\n6\n")
