"""A node without a provider: a folder, the node script, and its files to look at."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flow_adapters.node_files import load_node_files
from flow_core.domain.node_files import (
    NODE_HELPER,
    NodeFiles,
    log_line,
    parse_log_answer,
    parse_state,
)
from flow_core.domain.run import LogChunk, RunReport
from flow_core.domain.script import NodeTask, render_script
from tests.node.kit import PATIENCE_S, Bell, wait_for_lock


class BareNode:
    """One node; `start` is its boot, the process it returns its life."""

    def __init__(self, folder: Path, python: str = sys.executable) -> None:
        self.home = folder / "flow"
        self.workspace = folder / "workspace"
        self._script = folder / "startup.sh"
        self._started: list[subprocess.Popen[bytes]] = []
        self.env = {
            "PATH": os.environ["PATH"],
            "FLOW_HOME": str(self.home),
            "FLOW_WORKSPACE": str(self.workspace),
            "FLOW_FOREGROUND": "1",
            "FLOW_PYTHON": python,
            "FLOW_GRACE_S": "0.3",
            "FLOW_REST_S": "0.01",
        }

    def take(
        self, command: str | tuple[str, ...], *, files: NodeFiles | None = None, **about: Any
    ) -> None:
        """Put a task's script on the node."""
        task = NodeTask(name="train", token="abcdefgh", command=command, **about)
        self._script.write_text(render_script(task, files=files or load_node_files()))

    def start(self) -> subprocess.Popen[bytes]:
        """Boot the node."""
        started = subprocess.Popen(["sh", self._script], env=self.env)
        self._started.append(started)
        return started

    def finish(self) -> RunReport:
        """Boot the node, wait until its helper ends, and return the last word."""
        assert 0 == self.start().wait(PATIENCE_S)
        return self.report()

    def ask(self, *verb: str, stdin: bytes = b"", **env: str) -> subprocess.CompletedProcess[bytes]:
        """Call the helper as the core does, over a shell."""
        return self.call(f"{NODE_HELPER} {shlex.join(verb)}", stdin=stdin, **env)

    def call(
        self, line: str, *, stdin: bytes = b"", **env: str
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a line as the core does, over a shell."""
        return subprocess.run(
            ["sh", "-c", line],
            env={**self.env, **env},
            input=stdin,
            capture_output=True,
            check=False,
            timeout=PATIENCE_S,
        )

    def deliver(
        self,
        number: int,
        *,
        rank: int = 0,
        hosts: tuple[str, ...] = ("127.0.0.1",),
        kit: bytes = b"",
        **rest: Any,
    ) -> int:
        """Deliver a membership, with the kit if it is given; return the exit code."""
        nodes = [{"rank": each, "host": host} for each, host in enumerate(hosts)]
        message = {
            "number": number,
            "rank": rank,
            "nodes": nodes,
            "port": 29_501,
            "env": {},
            "code": None,
        } | rest
        return self.ask("deliver", stdin=json.dumps(message).encode() + b"\n" + kit).returncode

    def report(self) -> RunReport:
        """What the helper's `report` says."""
        return parse_state(self.ask("report").stdout.decode(), rank=0)

    def log(self, offset: int = 0, limit: int = 1 << 20) -> LogChunk:
        """What the reader of logs says."""
        line = log_line(load_node_files().log_reader, offset=offset, limit=limit)
        answer = self.call(line).stdout
        return parse_log_answer(answer, rank=0, offset=offset)

    def close(self) -> None:
        """End what still runs."""
        for started in self._started:
            if started.poll() is None:
                started.send_signal(signal.SIGTERM)
                started.wait(PATIENCE_S)
        if (self.home / "lock").exists():
            wait_for_lock(self.home / "lock")


@pytest.fixture
def node(tmp_path: Path) -> Iterator[BareNode]:
    """A node that ends with the test."""
    node = BareNode(tmp_path)
    yield node
    node.close()


@pytest.fixture
def bell(tmp_path: Path) -> Iterator[Bell]:
    """A bell that commands can ring."""
    bell = Bell(tmp_path / "bell")
    yield bell
    bell.close()
