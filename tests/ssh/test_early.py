"""Sockets that begin to connect before there is what talks over them."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from flow_adapters.ssh.early import AT_ONCE, Early, leads_elsewhere
from flow_core.domain.allocation import Address, Node, NodeState
from tests.ssh.cloud import Cloud, told


@pytest.fixture
def listener():
    """A server that has room for all who come."""
    with socket.create_server(("127.0.0.1", 0), backlog=2 * AT_ONCE) as server:
        server.settimeout(20)
        yield server


@pytest.fixture
def early(tmp_path) -> Early:
    """Of a user without settings."""
    return Early(tmp_path / "config")


def node(server: socket.socket, number: int = 0, *, host: str = "127.0.0.1") -> Node:
    """One whose address is where the server listens."""
    where = Address(host, server.getsockname()[1], "root")
    return Node(id=f"inst_{number}", rank=number, state=NodeState.RUNNING, address=where)


def taken(early: Early, server: socket.socket, *, most: int) -> list[socket.socket]:
    """All that there are for the server's address."""
    port = server.getsockname()[1]
    return [each for _ in range(most) if (each := early.take("127.0.0.1", port)) is not None]


def test_each_is_taken_once(early, listener):
    """What was begun for an address is whoever's takes it first; a name has none, a node named twice one."""
    nodes = [node(listener, 0), node(listener, 1), node(listener, 1)]
    early.begin([*nodes, node(listener, 2, host="localhost")])
    found = taken(early, listener, most=4)

    assert 2 == len(found)
    assert early.take("localhost", listener.getsockname()[1]) is None
    for each in found:
        with listener.accept()[0] as accepted, each:
            assert each.getsockname() == accepted.getpeername()


def test_no_more_are_begun_than_are_made_at_once(early, listener):
    """The rest would wait unused at a server that has other visitors."""
    early.begin([node(listener, number) for number in range(AT_ONCE + 5)])
    found = taken(early, listener, most=AT_ONCE + 5)

    assert AT_ONCE == len(found)
    for each in found:
        each.close()


def test_those_that_nobody_took_are_closed(early, listener):
    """Their server hears the end, and no later comer gets one."""
    early.begin([node(listener)])
    early.close()

    assert [] == taken(early, listener, most=1)
    with listener.accept()[0] as accepted:
        assert b"" == accepted.recv(1)


def test_nobody_is_called_whom_settings_may_lead_elsewhere_to(early, listener, tmp_path):
    """A user who goes through a gate does so for every connection."""
    (tmp_path / "config").write_text("Host *\n  ProxyJump gate\n")
    early.begin([node(listener)])

    assert [] == taken(early, listener, most=1)


@pytest.mark.parametrize(
    ("settings", "leads"),
    [
        (None, False),
        ("Host *\n  User me\n  IdentityFile ~/.ssh/one\n", False),
        ("# ProxyJump is for others\nHost *\n  ServerAliveInterval 5\n", False),
        ("Host 10.*\n\tProxyJump gate\n", True),
        ("host a\n hostname=10.0.0.1\n", True),
        ("Include conf.d/*\n", True),
        ('"Match" all\n', True),
        ("Port 2222\n", True),
    ],
)
def test_settings_that_may_lead_elsewhere_do(tmp_path, settings, leads):
    """Nobody is called directly whom the user's settings may say to reach in another way."""
    file: Path = tmp_path / "config"
    if settings is not None:
        file.write_text(settings)

    assert leads == leads_elsewhere(file)


def test_settings_that_cant_be_read_may_lead_anywhere(tmp_path):
    """As a folder in the file's place can't."""
    assert leads_elsewhere(tmp_path)


@pytest.mark.slow
def test_a_node_hears_of_no_more_connections_than_it_has(sshd, tmp_path):
    """A fan over nodes that are one server makes a connection for each, begun early or not."""
    cloud = Cloud(folder=str(tmp_path), key=str(sshd.user_key), ports=[sshd.port] * 5)
    before = _connections(sshd)
    code, _, _ = told(cloud, "ssh", "train", "--", "true")

    assert 0 == code
    assert 5 == _connections(sshd) - before


def _connections(sshd) -> int:
    return sum(line.startswith("Connection from ") for line in list(sshd.said))
