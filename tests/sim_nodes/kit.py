"""What tests of booting nodes share: a host with nodes in it, and OpenSSH's own client."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import pytest

from flow_core.domain.bid import Launch
from flow_core.domain.shape import parse_shape
from flow_providers.mock.boot.hosting import BootingNodes
from flow_providers.mock.nodes import HostedNode
from tests.node.kit import PATIENCE_S, wait_for_bytes, wait_for_lock

AT = datetime(2026, 1, 1, tzinfo=timezone.utc)
#: A node's address follows from its id, so each test worker has its own.
ID = f"inst_{os.getpid()}"
SCRIPT_EXIT = "var/lib/foundry/startup_script.exit"


def openssh(program: str = "ssh") -> str:
    """One of OpenSSH's programs; where it is missing the test is skipped, and fails in CI."""
    found = shutil.which(program)
    if found is None:
        refuse(f"needs OpenSSH's client, and this machine has no {program}")
    return str(found)


def refuse(reason: str) -> None:
    """Skip the test, or fail it in CI."""
    (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)


class Cloud:
    """A host of booting nodes, and a user with a key."""

    def __init__(self, folder: Path, **options: object) -> None:
        openssh()
        self.folder = folder
        self.key = folder / "key"
        line = [openssh("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", str(self.key)]
        subprocess.run(line, check=True, stdin=subprocess.DEVNULL)
        self.public_key = (folder / "key.pub").read_text().strip()
        self.options = {"grace_s": 5.0, **options}
        self.nodes = self.simulator()
        self.nodes.open()

    def simulator(self) -> BootingNodes:
        """Another simulator over the same state."""
        return BootingNodes(self.folder / "sim", **self.options)  # type: ignore[arg-type]

    def boot(self, script: str = "", *, node_id: str = ID, **more: object) -> None:
        """Boot a node and return once it answers on SSH."""
        told: dict[str, object] = {"bid_id": "bid_one", "rank": 0, "name": "train-0", **more}
        told.setdefault("shape", parse_shape("8xh100"))
        node = HostedNode(id=node_id, keys=(self.public_key,), **told)  # type: ignore[arg-type]
        self.nodes.boot(node, Launch(script=script), at=AT)
        self.until_answers(node_id)

    def until_answers(self, node_id: str = ID) -> None:
        """Return once something listens at the node's address."""
        address = self.nodes.address(node_id)
        assert address is not None
        program = """
import select, socket, sys
while True:
    try: socket.create_connection((sys.argv[1], int(sys.argv[2])), 1).recv(1); break
    except OSError: select.select([], [], [], 0.01)
"""
        line = [sys.executable, "-I", "-S", "-c", program, address.host, str(address.port)]
        try:
            subprocess.run(line, timeout=PATIENCE_S, check=True)
        except subprocess.TimeoutExpired:
            pytest.fail(f"the node doesn't answer; its console: {self.nodes.console(node_id)}")

    def until_script_ended(self, node_id: str = ID) -> int:
        """Return the startup script's exit code once there is one."""
        place = self.disk(node_id) / SCRIPT_EXIT
        wait_for_bytes(place)
        return int(place.read_text())

    def until_down(self, node_id: str = ID) -> None:
        """Return once the last process of the node is gone."""
        wait_for_lock(self.nodes.folder(node_id) / "init.lock")

    def disk(self, node_id: str = ID) -> Path:
        """A node's boot disk, from outside."""
        return self.nodes.folder(node_id) / "disk" / "upper"

    def ssh(
        self,
        line: str | None,
        *,
        node_id: str = ID,
        options: tuple[str, ...] = (),
        timeout_s: float = PATIENCE_S,
        **more: object,
    ) -> subprocess.CompletedProcess[str]:
        """What OpenSSH's client says of a command."""
        words = self.ssh_words(node_id, *options) + ([] if line is None else [line])
        settings: dict[str, object] = {"stdin": subprocess.DEVNULL, "text": True, **more}
        if "input" in settings:
            del settings["stdin"]
        return subprocess.run(  # type: ignore[call-overload, no-any-return]
            words, capture_output=True, timeout=timeout_s, check=False, **settings
        )

    def ssh_words(self, node_id: str = ID, *options: str, user: str = "ubuntu") -> list[str]:
        """How OpenSSH's client is called for a node."""
        address = self.nodes.address(node_id)
        assert address is not None
        return [
            openssh(),
            *self.settings(),
            "-p",
            str(address.port),
            *options,
            f"{user}@{address.host}",
        ]

    def settings(self) -> list[str]:
        """What OpenSSH's programs must be told here: our key, our known hosts, nothing of the machine's."""
        told = ["-F", "none", "-i", str(self.key)]
        for setting in (
            "BatchMode=yes",
            "IdentitiesOnly=yes",
            "StrictHostKeyChecking=accept-new",
            f"UserKnownHostsFile={self.folder / 'known_hosts'}",
            "LogLevel=ERROR",
        ):
            told += ["-o", setting]
        return told

    def close(self) -> None:
        """Destroy every node and wait for their ends."""
        for folder in (self.folder / "sim" / "nodes").glob("*"):
            self.nodes.destroy(folder.name, at=AT)
            self.until_down(folder.name)
        self.nodes.close()


def free_port() -> int:
    """A loopback port on which nobody listens just now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def processes_with(text: str) -> list[str]:
    """The command lines that hold a text."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = place.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if text in line:
            found.append(line)
    return found
