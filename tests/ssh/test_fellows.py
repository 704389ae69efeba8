"""Nodes that log in to each other with a key of their own, and have a snapshot from each other."""

from __future__ import annotations

import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from flow_adapters.packing import TarCodeStore
from flow_core.domain.allocation import Node
from flow_core.domain.code import Bundle
from flow_core.ports.code import Packing
from flow_core.ports.shell import NodeEvent, NodeExit, NodeOutput
from tests.ssh.conftest import Answer, MakeShell, a_node
from tests.ssh.sshd import Sshd

pytestmark = pytest.mark.slow
COUNT = 3


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[list[Sshd]]:
    """Servers with a home and keys of their own, in which their commands begin."""
    made = [a_server(tmp_path / f"server{each}") for each in range(COUNT)]
    yield made
    for each in made:
        each.stop()


def a_server(folder: Path) -> Sshd:
    """A server whose commands begin in a home of its own, and which reads the keys that lie there."""
    own = f"{folder}/authorized_keys {folder}/home/.ssh/authorized_keys"
    enter = 'ForceCommand cd "$HOME" && eval "$SSH_ORIGINAL_COMMAND"'
    server = Sshd(folder, settings=(f"AuthorizedKeysFile {own}", enter))
    server.start()
    return server


class Unpacked:
    """A snapshot of which no node finds that it is whole before it has asked."""

    def __init__(self, folder: str, store: Path) -> None:
        self._packing = TarCodeStore(store).packing(folder)
        self.is_done = False
        self.done, self.taken = self._packing.done, self._packing.taken
        self.pieces = self._packing.pieces
        self.close = self._packing.close


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """More than is sent to each node by itself."""
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "big").write_bytes(bytes(3_000_000))
    (folder / "run.sh").write_text("#!/bin/sh\n")
    return TarCodeStore(tmp_path / "store").pack(str(folder))


class Place:
    """The servers as nodes, and a shell that reaches them."""

    def __init__(self, servers: list[Sshd], make_shell: MakeShell, tmp_path: Path) -> None:
        self.servers = servers
        for each in servers[1:]:
            each.authorized_keys.write_text(servers[0].authorized_keys.read_text())
        self.flow_home = tmp_path / "flow-home"
        self.shell = make_shell(
            keys=[servers[0].user_key], workspace="work", flow_home=str(self.flow_home)
        )
        self.nodes = [
            a_node(each.port, name=f"n{rank}", rank=rank) for rank, each in enumerate(servers)
        ]

    def introduce(self) -> None:
        """Have the nodes know each other."""
        hosts = {node.id: "127.0.0.1" for node in self.nodes}
        ends = list(self.shell.run_many(self.shell.introductions(self.nodes, hosts)))
        assert {NodeExit(node, 0) for node in self.nodes} == set(ends)

    def upload(self, bundle: Bundle | Packing) -> list[NodeEvent]:
        """What an upload to all of them came to."""
        return list(self.shell.upload(self.nodes, bundle, target="."))

    def logins(self) -> int:
        """How often somebody has logged in anywhere."""
        return sum(
            line.startswith("Accepted publickey") for each in self.servers for line in each.said
        )

    def has_files(self, rank: int) -> bool:
        """Whether the snapshot is there."""
        return (self.servers[rank].home / "work" / "big").exists()


@pytest.fixture
def place(servers: list[Sshd], make_shell: MakeShell, tmp_path: Path) -> Place:
    """Three nodes that don't know each other yet."""
    return Place(servers, make_shell, tmp_path)


def fellow(place: Place, node: Node, line: str, *options: str) -> Answer:
    """What `line` says on node 1, asked from `node` by name."""
    config = place.flow_home / "ssh" / "config"
    words = " ".join(["ssh", "-F", str(config), "-o", "BatchMode=yes", *options, "node-1"])
    return Answer(place.shell, node, f"{words} {line}")


def test_nodes_log_in_to_each_other(place):
    """With the pair that was delivered, by name and without questions; the private half is its owner's alone."""
    place.shell.meet(place.nodes)
    place.introduce()
    answer = fellow(place, place.nodes[0], "pwd")

    assert (0, str(place.servers[1].home)) == (answer.code, answer.out.decode().strip()), answer.err
    key = place.flow_home / "ssh" / "id"
    assert 0o600 == stat.S_IMODE(key.stat().st_mode)
    home = place.servers[0].home / ".ssh"
    assert f'Include "{place.flow_home}/ssh/config"\n' == (home / "config").read_text()
    assert (home / "authorized_keys").read_text().startswith('restrict,pty,from="127.0.0.1" ssh-')


def test_the_pair_forwards_nothing(place):
    """A login with the pair may not forward ports."""
    place.introduce()
    answer = fellow(
        place, place.nodes[0], "true", "-o", "ExitOnForwardFailure=yes", "-R", "0:127.0.0.1:1"
    )

    assert 255 == answer.code


def test_a_new_pair_takes_the_place_of_the_old(place):
    """After a second introduction the first pair opens nothing, and what the user has in the files is still there."""
    mine = place.servers[1].home / ".ssh" / "authorized_keys"
    mine.parent.mkdir()
    mine.write_text("# mine\n")
    place.introduce()
    old = place.flow_home.parent / "old"
    old.write_bytes((place.flow_home / "ssh" / "id").read_bytes())
    old.chmod(0o600)
    place.introduce()
    words = ["ssh", "-F", "none", "-i", str(old), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes"]
    words += ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
    port = str(place.servers[1].port)
    refused = subprocess.run(
        [*words, "-p", port, "127.0.0.1", "true"], capture_output=True, text=True, check=False
    )

    assert 255 == refused.returncode
    assert "Permission denied" in refused.stderr
    assert ["# mine", "restrict,pty"] == [
        line.partition(",from")[0] for line in mine.read_text().splitlines()
    ]


def test_one_node_is_sent_it_and_the_others_have_it_from_there(place, bundle):
    """Nodes that know each other log in to the one that was sent the snapshot; no copy stays."""
    place.introduce()
    before = place.logins()
    events = place.upload(bundle)

    assert {NodeExit(node, 0) for node in place.nodes} == set(events)
    assert all(map(place.has_files, range(COUNT)))
    assert COUNT - 1 == place.logins() - before
    for each in place.servers:
        left = {path.name for path in (each.home / "work" / ".flow-upload").iterdir()}
        assert {"digest", "manifest", "lock"} == left


def test_a_snapshot_that_is_still_packed_goes_from_node_to_node(place, bundle, tmp_path):
    """The one node that is sent it while it is written keeps a copy for the others."""
    place.introduce()
    before = place.logins()
    events = place.upload(Unpacked(str(tmp_path / "code"), tmp_path / "other"))

    assert {NodeExit(node, 0) for node in place.nodes} == set(events)
    assert all(map(place.has_files, range(COUNT)))
    assert COUNT - 1 == place.logins() - before


def test_strangers_are_sent_it_each(place, bundle):
    """Nodes that don't know each other get it from here, without a word."""
    events = place.upload(bundle)

    assert {NodeExit(node, 0) for node in place.nodes} == set(events)
    assert all(map(place.has_files, range(COUNT)))


@pytest.mark.parametrize("is_packed", [True, False])
def test_who_cant_have_it_from_a_fellow_is_sent_it(place, bundle, tmp_path, is_packed):
    """Where a node can't log in to the one that has it, it gets it from here, and says why; while it is packed, too."""
    place.introduce()
    for each in place.servers:
        (each.home / ".ssh" / "authorized_keys").write_text("")
    code = str(tmp_path / "code")
    events = place.upload(bundle if is_packed else Unpacked(code, tmp_path / "other"))
    said = [event for event in events if isinstance(event, NodeOutput)]

    assert {NodeExit(node, 0) for node in place.nodes} == set(events) - set(said)
    assert all(map(place.has_files, range(COUNT)))
    assert COUNT - 1 == len(said)
    assert all(b"Permission denied" in each.data for each in said)
