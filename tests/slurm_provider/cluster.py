"""A real Slurm whose nodes run what they are given: four of them on this host, larger than it on paper, two with GPUs.

`python -m tests.slurm_provider.cluster start FOLDER` brings one up by hand and prints its SLURM_CONF; `stop` ends it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from attrs import frozen

from tests.slurm.cluster import STOP_TIMEOUT_S, Cluster, by_hand, free_port

#: The first two have eight GPUs each, the others none.
NODES = ("n1", "n2", "n3", "n4")
GPUS = 8


@frozen
class RunningCluster(Cluster):
    """Another configuration than the paper cluster's, with its nodes from the start."""

    @property
    def nodes(self) -> Sequence[str]:
        """All of them run what they are given."""
        return NODES

    def configuration(self) -> Sequence[str]:
        """See `Cluster.configuration`. What makes people wait is as short as Slurm allows."""
        every = ",".join(NODES)
        return [
            "ClusterName=real",
            "KillWait=3",
            "SchedulerType=sched/backfill",
            "SchedulerParameters=sched_interval=1,bf_interval=1,sched_min_interval=0,batch_sched_delay=0",
            "PreemptType=preempt/partition_prio",
            "PreemptMode=REQUEUE",
            "JobRequeue=1",
            *(
                f"NodeName={name} NodeHostname={self.host} NodeAddr=127.0.0.1 Port={free_port()} CPUs=64 Boards=1"
                " SocketsPerBoard=2 CoresPerSocket=32 ThreadsPerCore=1 RealMemory=512000 State=UNKNOWN"
                + (f" Gres=gpu:h100:{GPUS}" if name in NODES[:2] else "")
                for name in NODES
            ),
            f"PartitionName=main Nodes={every} Default=YES MaxTime=INFINITE State=UP DefMemPerCPU=100 PriorityTier=1",
            f"PartitionName=urgent Nodes={every} MaxTime=INFINITE State=UP DefMemPerCPU=100 PriorityTier=9",
            f"PartitionName=short Nodes={every} MaxTime=1 State=UP DefMemPerCPU=100 PriorityTier=1",
        ]

    def start(self) -> None:
        """Bring it up, and return once every node may be used.

        Raises:
            RuntimeError: a daemon did not start, with the end of its log.
        """
        (self.folder / "dev").mkdir(parents=True, exist_ok=True)
        for number in range(GPUS):
            (self.folder / "dev" / f"gpu{number}").touch()
        (self.folder / "gres.conf").write_text(
            "AutoDetect=off\n"
            + "".join(
                f"NodeName={node} Name=gpu Type=h100 File={self.folder}/dev/gpu[0-{GPUS - 1}]\n"
                for node in NODES[:2]
            )
        )
        self.start_controller()
        self.start_nodes(partition="main")

    def stop(self) -> None:
        """End what runs on the nodes, which would outlive their daemons, and then those."""
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while self.run("squeue", "-h", "--me").stdout.strip() and time.monotonic() < deadline:
            self.run("scancel", "--me")
        super().stop()


if __name__ == "__main__":
    sys.exit(by_hand(RunningCluster))
