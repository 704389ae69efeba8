"""An engine that isn't reached by its own socket: on a port, and by SSH on another machine."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.local_docker.cut_wire import CutWire
from tests.local_docker.engine import (
    BARE_IMAGE,
    engine_folder,
    require_own_engine,
    started_engine,
    with_images,
)
from tests.local_docker.user import User
from tests.ssh.sshd import Sshd

pytestmark = [pytest.mark.docker, pytest.mark.slow]

#: What `dockerd` is told, and in which file it is.
SERVERS = {"cacert": "ca.pem", "cert": "server.pem", "key": "server-key.pem"}
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


def test_an_engine_that_wants_certificates_runs_tasks(tmp_path: Path):
    """By TLS a task has its code, and its output comes back; by a context too; without certificates it is said."""
    require_own_engine()
    keys = certificates(tmp_path / "certificates")
    with socket.create_server(("127.0.0.1", 0)) as free:
        host = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    pems = [f"--tls{name}={keys / file}" for name, file in SERVERS.items()]
    with engine_folder() as folder, started_engine(folder, "-H", host, "--tlsverify", *pems) as own:
        with_images(own, only=BARE_IMAGE)
        user = User(tmp_path, host, BARE_IMAGE)
        (tmp_path / "code").mkdir()
        (tmp_path / "code" / "word").write_text("by TLS\n")
        trusting = user.knowing(DOCKER_TLS_VERIFY="1", DOCKER_CERT_PATH=str(keys))
        said = trusting.flow("submit", "cat word", "-i", "cpu", "--yes")
        files = ",".join(f"{name}={keys / name}.pem" for name in ("ca", "cert", "key"))
        make = ("docker", "context", "create", "far", "--docker", f"host={host},{files}")
        subprocess.run(make, env=user.environ(), check=True, capture_output=True)
        chosen = user.knowing(DOCKER_HOST="", DOCKER_CONTEXT="far")
        again = chosen.flow("submit", "echo by a context", "-i", "cpu", "--yes")
        plain = user.flow("submit", "true", "-i", "cpu", "--yes", fails=True)
        (keys / "key.pem").rename(keys / "lost.pem")
        keyless = trusting.flow("submit", "true", "-i", "cpu", "--yes", fails=True)
        other = user.knowing(
            DOCKER_TLS_VERIFY="1", DOCKER_CERT_PATH=str(certificates(tmp_path / "other"))
        )
        strange = other.flow("submit", "true", "-i", "cpu", "--yes", fails=True)

    assert "by TLS\n" in said
    assert "by a context\n" in again
    assert "it wants TLS: set DOCKER_TLS_VERIFY=1" in plain
    assert f"{keys} has no key.pem" in keyless
    assert "don't trust each other" in strange


def certificates(folder: Path) -> Path:
    """Make an authority, and a server's and a client's certificate by it; return the folder that holds all."""
    folder.mkdir()
    make = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
    for name, *more in (
        ("ca",),
        ("server", "-addext", "subjectAltName=IP:127.0.0.1"),
        ("cert", "-addext", "extendedKeyUsage=clientAuth"),
    ):
        key = "key" if name == "cert" else f"{name}-key"
        by = ("-CA", "ca.pem", "-CAkey", "ca-key.pem", "-addext", "basicConstraints=CA:FALSE")
        words = ("-nodes", "-days", "2", "-subj", f"/CN={name}", "-keyout", f"{key}.pem")
        command = [*make, *words, "-out", f"{name}.pem", *(by if more else ()), *more]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder


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
