"""An engine that isn't reached by its own socket: on a port, and by SSH on another machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.local_docker.cut_wire import CutWire
from tests.local_docker.engine import BARE_IMAGE
from tests.local_docker.user import User
from tests.ssh.sshd import Sshd

pytestmark = [pytest.mark.docker, pytest.mark.slow]

_CONFIG = """Host far
  HostName 127.0.0.1
  Port {port}
  IdentityFile {key}
  IdentitiesOnly yes
  StrictHostKeyChecking no
  UserKnownHostsFile /dev/null
"""


@pytest.fixture
def on_a_port(docker_host: str) -> Iterator[str]:
    """The engine's address as DOCKER_HOST has it where it listens on TCP."""
    wire = CutWire(docker_host.removeprefix("unix://"), tcp=True)
    yield wire.host
    wire.close()


@pytest.fixture
def by_ssh(docker_host: str, tmp_path: Path) -> Iterator[Path]:
    """A folder with an `ssh` for which `far` is a machine whose `docker` is the tests' engine."""
    sshd = Sshd(tmp_path / "sshd", settings=(f"SetEnv DOCKER_HOST={docker_host}",))
    sshd.start()
    config, program = tmp_path / "ssh_config", tmp_path / "programs" / "ssh"
    config.write_text(_CONFIG.format(port=sshd.port, key=sshd.user_key))
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {config} "$@"\n')
    program.chmod(0o755)
    yield program.parent
    sshd.stop()


def test_an_engine_on_a_port_runs_tasks(tmp_path: Path, on_a_port: str):
    """With a DOCKER_HOST of tcp:// a task runs, its output comes back, and nothing is left."""
    user = User(tmp_path, on_a_port, BARE_IMAGE)
    said = user.flow("submit", "echo from afar; exit 0", "-i", "cpu", "--name", "port", "--yes")

    assert "from afar\n" in said
    assert [] == user.left("port-")


def test_an_engine_of_another_machine_runs_tasks(tmp_path: Path, by_ssh: Path, docker_host: str):
    """With a DOCKER_HOST of ssh:// a task runs there by the user's own ssh, and `flow ssh` enters it."""
    here = User(tmp_path, docker_host, BARE_IMAGE)
    there = {"DOCKER_HOST": "ssh://far", "PATH": f"{by_ssh}{os.pathsep}{os.environ['PATH']}"}
    user = here.knowing(**there)
    user.flow("submit", "sleep 600", "-i", "cpu", "--name", "away", "--no-code", "--yes", "-d")
    said = user.flow("ssh", "away", "--", "echo entered")
    user.flow("cancel", "away", "--yes")

    assert "entered\n" in said
    assert [] == here.left("away-")
