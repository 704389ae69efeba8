"""A cloud whose nodes are a real sshd: one task, `train`, that holds as many nodes as there are ports.

As a program it is `flow` with this cloud: `python -m tests.ssh.cloud CLOUD.json WORDS…`.
"""

from __future__ import annotations

import getpass
import json
import os
import random
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import asdict, field, frozen

from flow_adapters.clocks import SystemClock
from flow_adapters.journal import SqliteJournal
from flow_adapters.later import later
from flow_adapters.memory import MemoryLogKeep, UnpackedCode
from flow_adapters.ssh import SshShell
from flow_adapters.ssh.asking import ask_at_terminal
from flow_adapters.ssh_ahead import Logins, folder_of
from flow_adapters.vault import HeldVault
from flow_adapters.wiring import Unwatched
from flow_cli.__main__ import begun_ahead
from flow_cli.app import cli
from flow_cli.invocation import Invocation
from flow_core.domain.allocation import Address, Allocation, Node, NodeState
from flow_core.domain.bid import Bid, BidState
from flow_core.domain.money import Price
from flow_core.domain.record import Step, TaskRecord
from flow_core.domain.shape import parse_shape
from flow_core.domain.task import TaskSpec
from flow_core.ports.provider import Provider
from flow_core.services.ports import Ports
from flow_core.services.session import Session

if TYPE_CHECKING:
    from flow_core.domain.node_files import NodeFiles

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 60
BORN = datetime(2026, 1, 1, tzinfo=timezone.utc)
SHAPE = parse_shape("8xh100")


@frozen(kw_only=True)
class Cloud:
    """What there is: a node for each port, 0 for one without an address; ids may be given, to have them change."""

    folder: str
    key: str
    ports: list[int]
    name: str = "train"
    ids: list[str] = field(factory=list)
    hosts: list[str] = field(factory=list)
    state: str = BidState.ALLOCATED.value
    ssh: str | None = "ssh"
    connect_timeout_s: float = 15.0

    def saved(self, path: Path) -> Path:
        """Write it down for a process of its own."""
        path.write_text(json.dumps(asdict(self)))
        return path

    def nodes(self) -> tuple[Node, ...]:
        """The nodes of the one task."""
        return tuple(self._node(rank, port) for rank, port in enumerate(self.ports))

    def shell(self) -> SshShell:
        """A shell whose home and state are the cloud's folder."""
        folder = Path(self.folder)
        return SshShell(
            state_dir=folder / "state" / "loopback",
            keys=[Path(self.key)] if self.key else [],
            workspace=str(folder / "workspace"),
            home=folder,
            sudo=(),
            ssh=self.ssh,
            ask_passphrase=ask_at_terminal,
            connect_timeout_s=self.connect_timeout_s,
            logins=Logins(folder_of(folder / "state")),
        )

    def session(self, shell: SshShell | None = None, **ports: Any) -> Session:
        """A session in which the task is known."""
        shell = shell or self.shell()
        journal = SqliteJournal(":memory:")
        journal.add(self._record())
        provider = Provider(
            name="loopback",
            market=_Market(self),  # type: ignore[arg-type]
            fleet=_Fleet(self),
            shell=shell,
            ssh=shell,
            clock=SystemClock(),
        )
        return Session(
            Ports(
                provider=provider,
                journal=journal,
                clock=SystemClock(),
                code=UnpackedCode(),
                watch=Unwatched(),
                chance=random.Random(1),
                node_files=later(_node_files),
                log_keep=MemoryLogKeep(),
                vault=HeldVault({}),
                **ports,
            )
        )

    def bid(self) -> Bid:
        """The task's bid."""
        return Bid(
            id="bid_1",
            name=f"{self.name}-abcdef",
            state=BidState(self.state),
            shape=SHAPE,
            region="here",
            quantity=len(self.ports),
            limit=Price.from_cents(100),
            created_at=BORN,
        )

    def _node(self, rank: int, port: int) -> Node:
        host = self.hosts[rank] if self.hosts else "127.0.0.1"
        return Node(
            id=self.ids[rank] if self.ids else f"inst_{rank}",
            rank=rank,
            state=NodeState.RUNNING if port else NodeState.STARTING,
            address=Address(host, port, getpass.getuser()) if port else None,
        )

    def _record(self) -> TaskRecord:
        return TaskRecord(
            token="abcdef",
            name=self.name,
            provider="loopback",
            spec=TaskSpec(
                command="true", code=".", instance_type=SHAPE, num_instances=len(self.ports)
            ),
            created_at=BORN,
            step=Step.PLACED,
            region="here",
            bid_id="bid_1",
            bid_state=BidState.ALLOCATED,
        )


def _node_files() -> NodeFiles:
    from flow_adapters.node_files import load_node_files

    return load_node_files()


@frozen
class _Market:
    cloud: Cloud

    def bids(self, **asked: object) -> Sequence[Bid]:
        return [self.cloud.bid()]

    def bid(self, bid_id: str) -> Bid:
        return self.cloud.bid()


@frozen
class _Fleet:
    cloud: Cloud

    def allocations(self, bid_ids: Collection[str]) -> Mapping[str, Allocation]:
        return {each: Allocation(bid_id=each, nodes=self.cloud.nodes()) for each in bid_ids}


def flow(cloud: Cloud, *words: str, **streams: object) -> subprocess.Popen[bytes]:
    """`flow` in this cloud, as a process; a line is not held back because a pipe reads it."""
    file = cloud.saved(Path(cloud.folder) / "cloud.json")
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    environ.pop("SSH_AUTH_SOCK", None)
    return subprocess.Popen(
        [sys.executable, "-m", "tests.ssh.cloud", str(file), *words],
        env=environ,
        **{
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            # Whoever runs the tests is not to be asked for anything.
            "start_new_session": True,
            **streams,
        },
    )  # fmt: skip


def told(cloud: Cloud, *words: str, typed: bytes | None = None) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of one command."""
    streams = {} if typed is None else {"stdin": subprocess.PIPE}
    process = flow(cloud, *words, **streams)
    out, err = process.communicate(typed, PATIENCE_S)
    return process.returncode, out.decode(), err.decode()


def main(words: Sequence[str]) -> int:
    """Run one command of `flow` in the cloud that the first word's file describes."""
    if os.isatty(0) and os.getsid(0) == os.getpid():
        import fcntl
        import termios

        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    cloud = Cloud(**json.loads(Path(words[0]).read_text()))
    environ = {
        **os.environ,
        "HOME": cloud.folder,
        "FLOW_STATE_DIR": str(Path(cloud.folder) / "state"),
        "FLOW_CONFIG_DIR": str(Path(cloud.folder) / "config"),
    }
    invocation = Invocation(connect=lambda *_: cloud.session(), environ=environ)

    def run() -> int:
        found: int = cli.main(
            list(words[1:]), prog_name="flow", standalone_mode=False, obj=invocation
        )
        return found

    code = begun_ahead(words[1:], environ, run)
    write_peak(cloud)
    return code


def write_peak(cloud: Cloud) -> None:
    """Write down this process's peak of memory, in kB.

    Told by itself: what a parent is told of a child counts the parent's own memory, shared before the exec.
    """
    status = Path("/proc/self/status").read_text()
    peak = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
    Path(cloud.folder, "peak-kb").write_text(peak)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
