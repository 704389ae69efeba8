"""The kit on a node tells whether anything goes on there; real processes, the machine's own /proc."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flow_adapters.clocks import SystemClock
from flow_adapters.node_files import load_kit
from tests.node.kit import PATIENCE_S, pythons


class Asked:
    """A node's folder with the kit in it, and the question."""

    def __init__(self, home: Path, python: str) -> None:
        self.home, self.python = home, python
        (home / "kit.zip").write_bytes(load_kit())

    def __call__(self, **added: str) -> dict[str, Any]:
        """Ask once."""
        env = {"FLOW_HOME": str(self.home), "PATH": os.environ["PATH"], **added}
        words = [self.python, str(self.home / "kit.zip"), "idle"]
        done = subprocess.run(words, env=env, capture_output=True, check=True, timeout=PATIENCE_S)
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def looked(self, *, ago_s: float) -> None:
        """Let the look before have been then."""
        seen = json.loads((self.home / "idle.json").read_text())
        (self.home / "idle.json").write_text(
            json.dumps({**seen, "at": SystemClock().now().timestamp() - ago_s})
        )

    def start(self, program: str) -> subprocess.Popen[bytes]:
        """Start a program as the task's."""
        env = {"FLOW_HOME": str(self.home), "PATH": os.environ["PATH"]}
        words = [sys.executable, "-c", program]
        pipe = subprocess.PIPE
        started = subprocess.Popen(words, env=env, stdin=pipe, stdout=pipe, start_new_session=True)
        assert started.stdout is not None
        started.stdout.readline()
        return started


@pytest.fixture(params=pythons(), ids=lambda each: Path(each).name)
def ask(request: pytest.FixtureRequest, tmp_path: Path) -> Asked:
    """A node that can be asked."""
    return Asked(tmp_path, request.param)


def test_the_first_look_proves_nothing(ask: Asked):
    """Without a look before there is nothing to compare with."""
    assert {"idle": False, "gap_s": None, "busy": ""} == ask()


def test_a_node_at_rest_is_idle(ask: Asked):
    """A process that only waits is nothing to do."""
    waiting = ask.start("print(flush=True); input()")
    ask()
    ask.looked(ago_s=3_600)
    told = ask()
    waiting.communicate(b"\n", timeout=PATIENCE_S)

    assert (True, "") == (told["idle"], told["busy"])
    assert told["gap_s"] >= 3_600


def test_a_command_that_computes_is_not_idle(ask: Asked):
    """Processor time since the look before counts, of processes in sessions of their own too."""
    ask()
    program = "import time\nwhile time.process_time() < 0.5: pass\nprint(flush=True); input()"
    computing = ask.start(program)
    ask.looked(ago_s=1)
    told = ask()
    computing.communicate(b"\n", timeout=PATIENCE_S)

    assert (False, "the command computes") == (told["idle"], told["busy"])


def test_a_log_that_grows_is_not_idle(ask: Asked):
    """A word in the log, even of a process that takes no time, is something."""
    store = "from flow_core.node.node_store import Log; Log().note('here')"
    ask()
    ask.looked(ago_s=3_600)
    env = {"FLOW_HOME": str(ask.home), "PYTHONPATH": str(ask.home / "kit.zip")}
    subprocess.run([sys.executable, "-c", store], env=env, check=True, timeout=PATIENCE_S)

    assert "the log grew" == ask()["busy"]


@pytest.mark.parametrize(("percent", "busy"), [("97", "a GPU computes"), ("3", "")])
def test_a_gpu_that_computes_is_not_idle(ask: Asked, tmp_path: Path, percent: str, busy: str):
    """What nvidia-smi tells of any GPU counts from over five percent; one that tells nothing is passed over."""
    told = tmp_path / "bin" / "nvidia-smi"
    told.parent.mkdir()
    told.write_text(f"#!/bin/sh\necho 0\necho '[N/A]'\necho {percent}\n")
    told.chmod(0o755)
    path = f"{told.parent}{os.pathsep}{os.environ['PATH']}"
    ask(PATH=path)
    ask.looked(ago_s=3_600)

    assert busy == ask(PATH=path)["busy"]
