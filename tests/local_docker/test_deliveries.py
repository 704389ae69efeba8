"""Deliveries that are taken in a conversation, beside those that the helper takes when it is started for one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flow_adapters.node_files import load_node_files
from flow_core.domain.node_files import NODE_HELPER
from flow_core.domain.script import squeeze
from flow_core.ports.shell import Call, NodeExit, NodeLost
from flow_providers.local_docker.shell import DockerShell
from tests.local_docker.test_deltas import NODE, Pipes

KIT = b"PK\n\0a zip"


class Homes:
    """Two folders of a helper's: one that is given deliveries by conversation, one whose helper is started."""

    def __init__(self, place: Path) -> None:
        self.talked, self.helped = place / "talked", place / "helped"
        for home in (self.talked, self.helped):
            home.mkdir()
            (home / "lock").touch()
        self.pipes = Pipes(self.talked)
        self._program = place / "flow-node"
        self._program.write_text(squeeze(load_node_files())[1])
        self._shell = DockerShell(None, self.pipes)  # type: ignore[arg-type]

    def deliver(self, delivery: dict[str, Any], kit: bytes = b"") -> tuple[object, int]:
        """Give a delivery to both, and return what the shell said of one, and the other's exit code."""
        given = json.dumps(delivery).encode() + b"\n" + kit
        call = Call(node=NODE, line=f"{NODE_HELPER} deliver", stdin=given)
        [event] = self._shell.run_many([call])
        env = {**os.environ, "FLOW_HOME": str(self.helped)}
        command = [sys.executable, str(self._program), "deliver"]
        return event, subprocess.run(command, input=given, env=env, check=False).returncode


@pytest.fixture
def homes(tmp_path: Path) -> Iterator[Homes]:
    """Two helpers' folders on this machine."""
    homes = Homes(tmp_path)
    yield homes
    homes.pipes.process.communicate()


def files(home: Path) -> dict[str, bytes]:
    """Return what files in a folder hold."""
    return {each.name: each.read_bytes() for each in home.iterdir()}


def test_a_delivery_is_taken_as_the_helper_takes_it(homes: Homes):
    """The first, one with a kit, one that lacks the variables, one that was there, one that comes too late."""
    deliveries: list[tuple[dict[str, Any], bytes]] = [
        ({"number": 1, "nodes": [], "env": {"A": "b"}, "code": None}, b""),
        ({"number": 2, "nodes": [{"rank": 0, "host": "h"}], "env": {"A": "c"}}, KIT),
        ({"number": 3, "nodes": [], "env": None}, b""),
        ({"number": 3, "nodes": [], "env": {"A": "d"}}, KIT),
        ({"number": 1, "nodes": [], "env": {}}, b""),
    ]
    for delivery, kit in deliveries:
        event, code = homes.deliver(delivery, kit)

        assert NodeExit(NODE, code) == event
        assert files(homes.helped) == files(homes.talked)
    assert {"A": "c"} == json.loads(files(homes.talked)["delivery.json"])["env"]
    assert {0o600} == {
        each.stat().st_mode & 0o777 for each in homes.talked.iterdir() if each.name != "lock"
    }


def test_a_delivery_that_can_t_be_taken_is_lost_with_its_reason(homes: Homes):
    """What no helper understands is told as such, and the conversation goes on."""
    event, code = homes.deliver({"nodes": []})
    after, _ = homes.deliver({"number": 1, "nodes": [], "env": {}})

    assert isinstance(event, NodeLost)
    assert "number" in event.reason
    assert code != 0
    assert NodeExit(NODE, 0) == after
