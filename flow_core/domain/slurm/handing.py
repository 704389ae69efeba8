"""What a script says to the queue of a cluster, handed on to a provider that is one.

A market has no partitions and accounts, and gives whole instances; so there these options are ignored. A cluster has
them all, and an instance there is a share of a node: what the script says of its share counts, too. The provider says
by its task options what it can be told; `sbatch` among them takes what has none of its own.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Collection, Iterable

from attrs import field, frozen

from flow_core.domain.slurm.batch import Batch, MemoryPer
from flow_core.domain.slurm.reading import Reading

#: Options that are the provider's by the same names.
OWN = ("partition", "account", "qos", "constraint")
#: Those that a cluster's sbatch is told as they are.
MORE = (
    "reservation", "wckey", "priority", "nice", "prefer", "mcs-label", "cluster-constraint", "nodelist", "exclude",
    "switches", "contiguous", "licenses", "tmp", "mincpus", "cores-per-socket", "threads-per-core", "core-spec",
    "thread-spec", "hint", "gres-flags", "mail-type", "mail-user", "deadline", "delay-boot", "spread-job",
    "cpu-freq", "power", "profile", "acctg-freq",
)  # fmt: skip
#: What makes a node's share, and the provider's option for it.
SHARES = {
    **dict.fromkeys(("mem", "mem-per-cpu", "mem-per-gpu"), "memory"), "cpus-per-task": "cpus", "exclusive": "exclusive",
}  # fmt: skip


@frozen
class Queue:
    """A provider's name, and the task options that it understands."""

    provider: str = ""
    options: Collection[str] = field(default=(), eq=False)

    def takes(self, option: str) -> bool:
        """Whether a script's option is handed on."""
        if option in OWN:
            return option in self.options
        if option in SHARES:
            return SHARES[option] in self.options
        return option in MORE and "sbatch" in self.options

    @property
    def is_there(self) -> bool:
        """Whether the provider has a queue at all."""
        return any(map(self.takes, OWN))


#: The queue of a provider that has none.
NO_QUEUE = Queue()


def handed(reading: Reading, batch: Batch, queue: Queue, *, nodes: int) -> dict[str, str]:
    """Return the task options, by their full names, that tell `queue` what the script says, on so many nodes."""
    last = {each.option: each.value for each in reading.given}
    told = {name: last[name] or "" for name in OWN if name in last and queue.takes(name)}
    told.update(_shares(batch, last, queue, nodes=nodes))
    words = [
        f"--{name}" if value is None else f"--{name}={value}"
        for name, value in last.items()
        if name in MORE and queue.takes(name)
    ]
    if "sbatch" in queue.options and batch.memory is not None and batch.memory.mb == 0:
        words.append("--mem=0")  # all that there is
    if words:
        told["sbatch"] = shlex.join(words)
    return {f"{queue.provider}.{name}": value for name, value in told.items() if value}


def names_partition(options: Iterable[str]) -> bool:
    """Whether a task's options say where in the cluster it goes."""
    return any(name.rpartition(".")[2] == "partition" for name in options)


def _shares(batch: Batch, last: Collection[str], queue: Queue, *, nodes: int) -> dict[str, str]:
    """Return the CPUs and the memory of a node, where the script says them, and whether it has the node alone."""
    told = {}
    tasks = batch.ntasks_per_node or math.ceil(batch.ntasks / nodes)
    cpus = batch.cpus_per_task * tasks
    if (batch.cpus_per_task_is_given or cpus > 1) and "cpus" in queue.options:
        told["cpus"] = str(cpus)
    memory = batch.memory
    if memory is not None and memory.mb and "memory" in queue.options:
        gpus = max((each.count for each in batch.gpus_per_node), default=1)
        times = {MemoryPer.NODE: 1, MemoryPer.CPU: cpus, MemoryPer.GPU: gpus}[memory.per]
        told["memory"] = f"{memory.mb * times}m"
    if batch.is_exclusive and "exclusive" in last and queue.takes("exclusive"):
        told["exclusive"] = "yes"
    return told
