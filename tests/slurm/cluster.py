"""A real Slurm on loopback: munge, slurmctld and as many slurmd as wanted, in a folder; nothing under /etc is read.

This one's nodes exist only in the configuration, large enough for any script one would write, and are all DOWN: a held
task is judged by the controller as on any cluster, and never runs. `python -m tests.slurm.cluster start FOLDER`
brings one up by hand and prints its SLURM_CONF; `stop FOLDER` ends it. `tests.slurm_provider.cluster` has another.
"""

from __future__ import annotations

import argparse
import os
import pwd
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest
from attrs import frozen

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol", "scancel")
PARTITION = "paper"
PARTITIONS = ("gpu", "debug", "long", "normal", "standard")
FEATURES = "h100,a100,v100,ib,gpu,intel"
#: What scripts may depend on has the first ids: a held script, and an array of four. See `Cluster.start`.
FIRST_ID = 1001
GPU_TYPES = (
    "h100", "h200", "b200", "a100", "a40", "a30", "a10", "l4", "l40s", "v100", "t4", "p100"
)  # fmt: skip
#: What scontrol reckons with where a script names no nodes.
CPUS_PER_NODE = 256
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
#: Debian keeps daemons where only root's PATH looks.
DAEMON_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
#: Nodes that really run something: each a slurmd of its own on this host, larger than it on paper.
REAL_NODES = ("n1", "n2")
REAL = "real"


def missing_programs() -> list[str]:
    """The programs of Slurm and munge that this machine lacks."""
    return [name for name in PROGRAMS if shutil.which(name, path=DAEMON_PATH) is None]


C = TypeVar("C", bound="Cluster")


@frozen
class Cluster:
    """A cluster in `folder`, whose path must be short: it holds a socket. Its nodes are paper, but for two."""

    folder: Path

    @property
    def config(self) -> Path:
        """What SLURM_CONF must name."""
        return self.folder / "slurm.conf"

    @property
    def nodes(self) -> Sequence[str]:
        """The nodes that have a daemon of their own, once they are started."""
        return REAL_NODES

    @property
    def daemons(self) -> Sequence[str]:
        """What runs for it, in the order in which it is ended."""
        return [*(f"slurmd-{node}" for node in self.nodes), "slurmctld", "munged"]

    def configuration(self) -> Sequence[str]:
        """The lines of slurm.conf that are this cluster's own."""
        return paper(self.host)

    @property
    def host(self) -> str:
        """This machine's name, as nodes have it."""
        return socket.gethostname().split(".")[0]

    @property
    def environ(self) -> dict[str, str]:
        """This process's variables with SLURM_CONF, and without those that sbatch reads as options."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("SLURM_", "SBATCH_", "SLURMD_"))
        }
        return {
            **kept,
            "PATH": DAEMON_PATH,
            "SLURM_CONF": str(self.config),
            "TZ": "UTC",
            "LC_ALL": "C.UTF-8",
        }

    def start(self) -> None:
        """Bring it up, and return once the controller answers.

        Raises:
            RuntimeError: a daemon did not start, with the end of its log.
        """
        self.start_controller()
        for array in ((), ("--array=0-3",)):
            done = self.run("sbatch", "--hold", "--job-name=parent", *array, "--wrap=true")
            if done.returncode != 0:
                raise RuntimeError(f"sbatch refuses the simplest script: {done.stderr}")

    def start_controller(self) -> None:
        """Write the configuration, and bring up what all clusters have: munge and the controller.

        Raises:
            RuntimeError: a daemon did not start, with the end of its log.
        """
        for name in ("state", "spool"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        lines = [*common(self.folder, self.host, port=free_port()), *self.configuration()]
        self.config.write_text("\n".join(lines) + "\n", "utf-8")
        self.start_munge()
        self.daemon("slurmctld", "-c", "-f", self.config)
        self.until(lambda: "UP" in self.run("scontrol", "ping").stdout, "slurmctld")

    def start_munge(self) -> None:
        """Bring up what all of Slurm's programs know each other by.

        Raises:
            RuntimeError: it did not start.
        """
        key = self.folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(1024))
        self.daemon(
            "munged", "--force", f"--key-file={key}", f"--socket={self.folder / 'munge.sock'}",
            f"--pid-file={self.pid_file('munged')}", f"--log-file={self.folder / 'munged.log'}",
            f"--seed-file={self.folder / 'munge.seed'}", "--num-threads=2",
        )  # fmt: skip

    def start_nodes(self, *, partition: str = REAL) -> None:
        """Bring up the nodes that run something, and return once all may be used, which `partition` has.

        Raises:
            RuntimeError: one did not start.
        """
        for name in self.nodes:
            (self.folder / "spool" / name).mkdir(parents=True, exist_ok=True)
            self.daemon("slurmd", "-N", name)
        look = ("sinfo", "-h", "-p", partition, "-t", "idle", "-o", "%D")
        self.until(
            lambda: self.run(*look).stdout.strip() == str(len(self.nodes)),
            "slurmctld", f"slurmd-{self.nodes[0]}",
        )  # fmt: skip

    def until(self, holds: Callable[[], bool], *daemons: str) -> None:
        """Return when something holds.

        Raises:
            RuntimeError: it does not for a minute, with the ends of the daemons' logs.
        """
        deadline = time.monotonic() + START_TIMEOUT_S
        while not holds():
            if time.monotonic() > deadline:
                raise RuntimeError("\n".join(f"{each}: {self.log_end(each)}" for each in daemons))

    def stop(self) -> None:
        """End the daemons that were started here, by their pid files, and wait until they are gone."""
        for name in self.daemons:
            try:
                pid = int(self.pid_file(name).read_text("ascii"))
                handle = os.pidfd_open(pid)
            except (OSError, ValueError):
                continue
            try:
                signal.pidfd_send_signal(handle, signal.SIGTERM)
                ended, _, _ = select.select([handle], [], [], STOP_TIMEOUT_S)
                if not ended:
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
            except ProcessLookupError:
                pass
            finally:
                os.close(handle)
                self.pid_file(name).unlink(missing_ok=True)

    def run(
        self,
        *words: str | Path,
        cwd: Path | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run one of Slurm's programs against this cluster, with `environ` on top."""
        return subprocess.run(
            [str(word) for word in words],
            cwd=cwd or self.folder,
            env={**self.environ, **(environ or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=60,
            check=False,
        )

    def daemon(self, *words: str | Path) -> None:
        """Run a daemon that goes into the background by itself.

        Raises:
            RuntimeError: it did not start.
        """
        done = self.run(*words)
        if done.returncode != 0:
            name = str(words[0])
            raise RuntimeError(
                f"{name} ended with {done.returncode}: {done.stderr}{self.log_end(name)}"
            )

    def in_background(self, *words: str | Path) -> None:
        """Run a daemon that stays where it is started, and writes its own pid file."""
        log = self.folder / f"{words[0]}.log"
        self.run("sh", "-c", 'setsid "$@" >"$0" 2>&1 &', log, *words)

    def pid_file(self, daemon: str) -> Path:
        """Where a daemon's number is."""
        return self.folder / f"{daemon}.pid"

    def log_end(self, daemon: str) -> str:
        """The last lines that a daemon wrote."""
        path = self.folder / f"{daemon}.log"
        lines = path.read_text("utf-8", "replace").splitlines() if path.exists() else []
        return "\n".join(lines[-10:])


def common(folder: Path, host: str, *, port: int) -> list[str]:
    """The lines of slurm.conf that all of these clusters have; the controller listens on `port`."""
    user = pwd.getpwuid(os.getuid()).pw_name
    return [
        f"SlurmctldHost={host}(127.0.0.1)",
        f"SlurmctldPort={port}",
        f"SlurmUser={user}",
        f"SlurmdUser={user}",
        "AuthType=auth/munge",
        "CredType=cred/munge",
        # What was requeued may start again after `cred_expire` seconds.
        f"AuthInfo=socket={folder / 'munge.sock'},cred_expire=5",
        f"StateSaveLocation={folder / 'state'}",
        f"SlurmdSpoolDir={folder / 'spool'}/%n",
        f"SlurmctldPidFile={folder / 'slurmctld.pid'}",
        f"SlurmctldLogFile={folder / 'slurmctld.log'}",
        f"SlurmdPidFile={folder / 'slurmd-%n.pid'}",
        f"SlurmdLogFile={folder / 'slurmd-%n.log'}",
        "SlurmdParameters=config_overrides",
        "ReturnToService=2",
        "PropagateResourceLimits=NONE",
        "ProctrackType=proctrack/linuxproc",
        "TaskPlugin=task/none",
        "SwitchType=switch/none",
        "MpiDefault=none",
        "SelectType=select/cons_tres",
        "SelectTypeParameters=CR_Core_Memory",
        "GresTypes=gpu",
        "MailProg=/bin/true",
    ]


def paper(host: str) -> list[str]:
    """What the paper cluster has of its own: nodes that are only written down, and two that run something."""
    gres = ",".join(f"gpu:{name}:16" for name in GPU_TYPES)
    return [
        "ClusterName=paper",
        "KillWait=2",
        "SchedulerType=sched/builtin",
        "MaxArraySize=4000001",
        "MaxJobCount=5000000",
        f"FirstJobId={FIRST_ID}",
        "Licenses=matlab:100,scratch:100",
        f"NodeName=p[1-1024] NodeAddr=127.0.0.1 Port={free_port()} Boards=1 SocketsPerBoard=2 CoresPerSocket=128"
        f" ThreadsPerCore=1 RealMemory=8000000 TmpDisk=8000000 Gres={gres} Feature={FEATURES} State=DOWN",
        *(
            f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={free_port()}"
            " CPUs=32 Boards=1 SocketsPerBoard=2 CoresPerSocket=16 ThreadsPerCore=1 RealMemory=512000 State=UNKNOWN"
            for name in REAL_NODES
        ),
        f"PartitionName={REAL} Nodes={','.join(REAL_NODES)} MaxTime=INFINITE State=UP DefMemPerCPU=100",
        f"PartitionName={PARTITION} Nodes=p[1-1024] Default=YES MaxTime=INFINITE State=UP",
        *(f"PartitionName={name} Nodes=p[1-1024] MaxTime=INFINITE State=UP" for name in PARTITIONS),
    ]


def free_port() -> int:
    """A port of loopback on which nothing listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def by_hand(kind: type[Cluster], words: Sequence[str] | None = None) -> int:
    """Start or stop a cluster of this kind, as its module's command."""
    parser = argparse.ArgumentParser(description=kind.__doc__)
    parser.add_argument("what", choices=("start", "stop"))
    parser.add_argument("folder", type=Path)
    asked = parser.parse_args(words)
    cluster = kind(asked.folder.resolve())
    if asked.what == "stop":
        cluster.stop()
        return 0
    cluster.start()
    print(f"export SLURM_CONF={cluster.config}")
    return 0


@contextmanager
def served(kind: type[C]) -> Iterator[C]:
    """A cluster of this kind while tests need it; they are skipped where Slurm isn't installed, but never in CI."""
    missing = missing_programs()
    if missing:
        why = f"no {', '.join(missing)} here; Debian's slurmctld, slurmd, slurm-client and munge have them"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
    if os.geteuid() != 0:
        pytest.skip("munge's daemon and Slurm's are started as root here")
    # A socket's path must be short, and pytest's own folders are not.
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder:
        cluster = kind(Path(folder))
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()


if __name__ == "__main__":
    sys.exit(by_hand(Cluster))
