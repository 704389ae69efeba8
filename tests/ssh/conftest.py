"""A real sshd, shells that reach it, and nodes that are all the same machine."""

from __future__ import annotations

import getpass
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flow_adapters.ssh import SshShell
from flow_core.domain.allocation import Address, Node, NodeState
from flow_core.domain.run import Stream
from flow_core.ports.shell import Call, NodeExit, NodeLost, NodeOutput
from tests.ssh.sshd import Sshd

MakeShell = Callable[..., SshShell]


def a_node(port: int, *, name: str = "inst_A1", rank: int = 0, host: str = "127.0.0.1") -> Node:
    """A running node at a loopback port, reached as whoever runs the test."""
    address = Address(host, port, getpass.getuser())
    return Node(id=name, rank=rank, state=NodeState.RUNNING, address=address)


class Answer:
    """What one call came to."""

    def __init__(self, shell: SshShell, node: Node, line: str, **more: object) -> None:
        self.out = b""
        self.err = b""
        self.code: int | None = None
        self.lost = ""
        timeout_s = more.pop("timeout_s", 60)
        for event in shell.run_many([Call(node=node, line=line, **more)], timeout_s=timeout_s):
            assert node == event.node
            assert not self.lost
            assert self.code is None
            if isinstance(event, NodeOutput):
                self.out += event.data if event.stream is Stream.OUT else b""
                self.err += event.data if event.stream is Stream.ERR else b""
            elif isinstance(event, NodeExit):
                self.code = event.code
            elif isinstance(event, NodeLost):
                self.lost = event.reason


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """One server for all tests that leave it as it is."""
    server = Sshd(tmp_path_factory.mktemp("sshd"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_sshd(tmp_path: Path) -> Iterator[Sshd]:
    """A server that a test may stop and change; not started yet."""
    server = Sshd(tmp_path / "own-sshd")
    yield server
    server.stop()


@pytest.fixture
def make_shell(tmp_path: Path, sshd: Sshd) -> Iterator[MakeShell]:
    """Makes shells with a home and state of their own, and closes them."""
    made: list[SshShell] = []

    def make(**options: object) -> SshShell:
        settings: dict[str, object] = {
            "state_dir": tmp_path / "state",
            "keys": [sshd.user_key],
            "workspace": str(tmp_path / "workspace"),
            "home": tmp_path,
            "sudo": (),
            **options,
        }
        made.append(SshShell(**settings))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for shell in made:
        shell.close()


@pytest.fixture
def shell(make_shell: MakeShell) -> SshShell:
    """A shell whose key the server accepts."""
    return make_shell()


@pytest.fixture
def node(sshd: Sshd) -> Node:
    """The server, as a node."""
    return a_node(sshd.port)


class Met:
    """A program in the place of OpenSSH's client, which notes that it was called and becomes it; the node is known."""

    def __init__(self, make_shell, node, folder) -> None:
        self.make_shell, self.notes = make_shell, folder / "notes"
        self.program = folder / "ssh"
        self.program.write_text(
            f"#!/bin/sh\necho >>'{self.notes}'\nexec {shutil.which('ssh')} \"$@\"\n"
        )
        self.program.chmod(0o755)
        assert 0 == Answer(make_shell(), node, "true").code

    def shell(self) -> SshShell:
        """A shell without a connection yet."""
        return self.make_shell(ssh=str(self.program))

    @property
    def calls(self) -> int:
        """How often OpenSSH's client was called."""
        return self.notes.read_text().count("\n") if self.notes.exists() else 0


@pytest.fixture
def met(make_shell, node, tmp_path) -> Met:
    """OpenSSH's client, counted."""
    return Met(make_shell, node, tmp_path)


def lone(met: Met, node, line: str, **more: object) -> Answer:
    """What the first call of a shell comes to, which OpenSSH's client made."""
    before = met.calls
    answer = Answer(met.shell(), node, line, lone=True, **more)
    assert met.calls > before
    return answer
