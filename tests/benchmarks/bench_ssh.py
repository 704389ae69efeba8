"""A command that does nothing, on many nodes at once: whole processes, `flow ssh` and its peers by turns.

All nodes are one real sshd on loopback, so most of the time is the server's: each session forks, exchanges keys and
starts a shell. What differs is the client. Every HOME is empty; the peers check no host keys, Flow pins them.
"""

from __future__ import annotations

import getpass
import sys
import tempfile
import venv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from attrs import define, field

from tests.benchmarks.harness import Effort, Measured, by_turns, median, process, surroundings
from tests.ssh.cloud import Cloud
from tests.ssh.sshd import Sshd

ROOT = Path(__file__).resolve().parents[2]
CLUSH, PARALLEL_SSH = 0.4, 0.8
PEAK_MB = 150.0
PEERS = ("clustershell", "parallel-ssh")
ROUNDS = 5
#: Runs a command on as many hosts as the first word says: port, user and key are the others.
_PROGRAM = """
import sys
from pssh.clients import ParallelSSHClient
count, port, user, key = sys.argv[1:]
client = ParallelSSHClient(["127.0.0.1"] * int(count), port=int(port), user=user, pkey=key,
                           pool_size=int(count), allow_agent=False)
output = client.run_command("true")
client.join(output)
sys.exit(0 if all(host.exit_code == 0 for host in output) else 1)
"""


def no_op(effort: Effort) -> list[Measured]:
    """`flow ssh TASK -- true` on 100 nodes and on 1,000, against clush and parallel-ssh."""
    if effort.is_quick:
        with _site() as site:
            alone = [site.flow(20) for _ in range(effort.runs)]
        return [Measured(name="flow ssh, 20 nodes", value=median(alone), note="no peers")]
    with _site() as site:
        site.install_peers()
        few = {
            "flow": lambda: site.flow(100),
            "clush": lambda: site.clush(100),
            "parallel-ssh": lambda: site.parallel_ssh(100),
        }
        lines = _compared(100, {name: median(t) for name, t in by_turns(few, runs=ROUNDS).items()})
        site.peaks_mb.clear()
        # Once each: clush takes minutes, and everything has been run before.
        lines += _compared(1_000, {"flow": site.flow(1_000), "clush": site.clush(1_000)})
        peak = Measured(
            name="flow ssh, 1,000 nodes: peak memory",
            value=max(site.peaks_mb),
            unit="MB",
            limit=PEAK_MB,
        )
        return [*lines, peak]


def _compared(count: int, found: Mapping[str, float]) -> list[Measured]:
    shares = {"clush": CLUSH, "parallel-ssh": PARALLEL_SSH}
    return [
        Measured(
            name=f"flow ssh, {count:,} nodes: {peer}",
            value=found["flow"],
            limit=shares[peer] * took,
            peer=took,
            note=f"a no-op; at most {shares[peer]} × {peer}, which took {took:.2f} s",
        )
        for peer, took in found.items()
        if peer != "flow"
    ]


@define
class _Site:
    """A server, an empty home, and the programs that go to it."""

    sshd: Sshd
    folder: Path
    peaks_mb: list[float] = field(factory=list)

    def install_peers(self) -> None:
        """Install the peers into an environment of their own."""
        venv.create(self.folder / "peers", with_pip=True)
        process((self._peer("python"), "-m", "pip", "install", "--quiet", *PEERS))

    def flow(self, count: int) -> float:
        """Run `flow ssh` as a whole process; remember its peak."""
        home = Path(tempfile.mkdtemp(dir=self.folder))
        cloud = Cloud(
            folder=str(home),
            key=str(self.sshd.user_key),
            ports=[self.sshd.port] * count,
            connect_timeout_s=60.0,
        )
        file = cloud.saved(home / "cloud.json")
        flow = [sys.executable, "-m", "tests.benchmarks.flow_in_cloud", str(file)]
        words = [*flow, "ssh", "train", "--", "true"]
        took = process(words, env=self._environ(home, PYTHONPATH=str(ROOT)), cwd=ROOT)
        self.peaks_mb.append(int((home / "peak-kb").read_text()) / 1024)
        return took

    def clush(self, count: int) -> float:
        """Run clush as it comes, with the hosts as names of one address."""
        home = Path(tempfile.mkdtemp(dir=self.folder))
        config = home / "ssh_config"
        config.write_text(
            f"Host *\n HostName 127.0.0.1\n Port {self.sshd.port}\n User {getpass.getuser()}\n"
            f" IdentityFile {self.sshd.user_key}\n IdentitiesOnly yes\n LogLevel ERROR\n"
            " StrictHostKeyChecking no\n UserKnownHostsFile /dev/null\n"
        )
        words = [self._peer("clush"), "-o", f"-F {config}", "-S", "-w", f"n[1-{count}]", "true"]
        return process(words, env=self._environ(home))

    def parallel_ssh(self, count: int) -> float:
        """Run a program of parallel-ssh's, all hosts at once."""
        home = Path(tempfile.mkdtemp(dir=self.folder))
        told = [str(count), str(self.sshd.port), getpass.getuser(), str(self.sshd.user_key)]
        words = [self._peer("python"), "-c", _PROGRAM, *told]
        return process(words, env=self._environ(home))

    def _peer(self, name: str) -> str:
        return str(self.folder / "peers" / "bin" / name)

    def _environ(self, home: Path, **more: str) -> dict[str, str]:
        found = surroundings(HOME=str(home), **more)
        found.pop("SSH_AUTH_SOCK", None)
        return found


@contextmanager
def _site() -> Iterator[_Site]:
    with tempfile.TemporaryDirectory() as folder:
        sshd = Sshd(Path(folder) / "sshd")
        sshd.start()
        try:
            yield _Site(sshd, Path(folder))
        finally:
            sshd.stop()
