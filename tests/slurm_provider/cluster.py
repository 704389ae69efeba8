"""A real Slurm whose nodes run what they are given: four of them on this host, larger than it on paper, two with GPUs.

`python -m tests.slurm_provider.cluster start FOLDER` brings one up by hand and prints its SLURM_CONF; `stop` ends it.
"""

from __future__ import annotations

import argparse
import os
import pwd
import secrets
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from attrs import frozen

from tests.slurm.cluster import START_TIMEOUT_S, STOP_TIMEOUT_S, Cluster, free_port

#: The first two have eight GPUs each, the others none.
NODES = ("n1", "n2", "n3", "n4")
GPUS = 8


@frozen
class RunningCluster(Cluster):
    """Another configuration than the paper cluster's, with its nodes from the start."""

    @property
    def daemons(self) -> Sequence[str]:
        """What `stop` ends, in order."""
        return (*(f"slurmd-{name}" for name in NODES), "slurmctld", "munged")

    def start(self) -> None:
        """Bring it up, and return once every node may be used.

        Raises:
            RuntimeError: a daemon did not start, with the end of its log.
        """
        for name in ("state", *(f"spool/{node}" for node in NODES), "dev"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(GPUS):
            (self.folder / "dev" / f"gpu{number}").touch()
        self.folder.chmod(0o755)
        key = self.folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(1024))
        self.config.write_text(configuration(self.folder, port=free_port()), "utf-8")
        (self.folder / "gres.conf").write_text(
            "AutoDetect=off\n"
            + "".join(
                f"NodeName={node} Name=gpu Type=h100 File={self.folder}/dev/gpu[0-{GPUS - 1}]\n"
                for node in NODES[:2]
            )
        )
        self._daemon(
            "munged", "--force", f"--key-file={key}", f"--socket={self.folder / 'munge.sock'}",
            f"--pid-file={self._pid_file('munged')}", f"--log-file={self.folder / 'munged.log'}",
            f"--seed-file={self.folder / 'munge.seed'}", "--num-threads=2",
        )  # fmt: skip
        self._daemon("slurmctld", "-c", "-f", self.config)
        for name in NODES:
            self._daemon("slurmd", "-N", name)
        deadline = time.monotonic() + START_TIMEOUT_S
        look = ("sinfo", "-h", "-p", "main", "-t", "idle", "-o", "%D")
        while self.run(*look).stdout.strip() != str(len(NODES)):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self._log('slurmctld')}\n{self._log(f'slurmd-{NODES[0]}')}")

    def stop(self) -> None:
        """End what runs on the nodes, which would outlive their daemons, and then those."""
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while self.run("squeue", "-h", "--me").stdout.strip() and time.monotonic() < deadline:
            self.run("scancel", "--me")
        super().stop()


def configuration(folder: Path, *, port: int) -> str:
    """The text of slurm.conf for a cluster in `folder` whose controller listens on `port`.

    Everything that makes people wait is as short as Slurm allows: scheduling, the end of what is cancelled, and the
    time until what was requeued may start again (`cred_expire`).
    """
    user = pwd.getpwuid(os.getuid()).pw_name
    host = socket.gethostname().split(".")[0]
    every = ",".join(NODES)
    lines = [
        "ClusterName=real",
        f"SlurmctldHost={host}(127.0.0.1)",
        f"SlurmctldPort={port}",
        f"SlurmUser={user}",
        f"SlurmdUser={user}",
        "AuthType=auth/munge",
        "CredType=cred/munge",
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
        "KillWait=3",
        "ProctrackType=proctrack/linuxproc",
        "TaskPlugin=task/none",
        "SwitchType=switch/none",
        "MpiDefault=none",
        "SelectType=select/cons_tres",
        "SelectTypeParameters=CR_Core_Memory",
        "SchedulerType=sched/backfill",
        "SchedulerParameters=sched_interval=1,bf_interval=1,sched_min_interval=0,batch_sched_delay=0",
        "AccountingStorageType=accounting_storage/none",
        "GresTypes=gpu",
        "MailProg=/bin/true",
        "PreemptType=preempt/partition_prio",
        "PreemptMode=REQUEUE",
        "JobRequeue=1",
        *(
            f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={free_port()} CPUs=64 Boards=1"
            " SocketsPerBoard=2 CoresPerSocket=32 ThreadsPerCore=1 RealMemory=512000 State=UNKNOWN"
            + (f" Gres=gpu:h100:{GPUS}" if name in NODES[:2] else "")
            for name in NODES
        ),
        f"PartitionName=main Nodes={every} Default=YES MaxTime=INFINITE State=UP DefMemPerCPU=100 PriorityTier=1",
        f"PartitionName=urgent Nodes={every} MaxTime=INFINITE State=UP DefMemPerCPU=100 PriorityTier=9",
        f"PartitionName=short Nodes={every} MaxTime=1 State=UP DefMemPerCPU=100 PriorityTier=1",
    ]
    return "\n".join(lines) + "\n"


def main(words: Sequence[str] | None = None) -> int:
    """Start or stop a cluster by hand."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("start", "stop"))
    parser.add_argument("folder", type=Path)
    asked = parser.parse_args(words)
    cluster = RunningCluster(asked.folder.resolve())
    if asked.what == "stop":
        cluster.stop()
        return 0
    cluster.start()
    print(f"export SLURM_CONF={cluster.config}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
