"""What a cluster offers: each partition's kinds of nodes, read from scontrol's own words. Pure.

An instance is a node's share: so many of its GPUs, with that part of its CPUs, or some CPUs alone. A bid's instances
lie on different nodes, so what is counted is nodes. A kind of GPU is known by the type that the cluster gave it, by its
nodes' features, or by the setting `slurm.gpu_names`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from attrs import field, frozen

from flow_core.domain.bid import Quote
from flow_core.domain.money import Price
from flow_core.domain.shape import CPU, InstanceShape, parse_shape
from flow_core.errors import InvalidRequest

_CPU = parse_shape(CPU)
_PAIR = re.compile(r"(?:^|\s)([A-Za-z][A-Za-z0-9_/:]*)=(\S*)")
_GRES = re.compile(r"gpu(?::([^:,()]+))?:([0-9]+)")
#: Nodes in any of these states take nothing new.
_AWAY = re.compile(
    r"DOWN|DRAIN|FAIL|MAINT|NOT_RESPONDING|REBOOT|RESERVED|FUTURE|UNKNOWN|POWERING_DOWN|INVAL"
)
_UNTYPED = "gpu"


@frozen(kw_only=True)
class NodeFacts:
    """One node as scontrol tells it; sizes in MB, GPUs by the cluster's own types."""

    name: str
    address: str
    is_there: bool
    cpus: int
    cpus_free: int
    memory: int
    memory_free: int
    gpus: Mapping[str, int] = field(factory=dict)
    gpus_free: Mapping[str, int] = field(factory=dict)
    partitions: frozenset[str] = frozenset()
    features: tuple[str, ...] = ()


@frozen(kw_only=True)
class Partition:
    """One partition as scontrol tells it; `most_minutes` is None where time has no end."""

    name: str
    is_up: bool
    is_default: bool
    most_minutes: int | None = None
    most_nodes: int | None = None
    gives_memory: bool = False


@frozen(kw_only=True)
class Offer:
    """One kind of node in one partition: of `gpu`, the cluster's own type, up to `most` a node; for CPUs none."""

    partition: Partition
    gpu: str = ""
    family: InstanceShape = _CPU
    most: int = 0
    nodes: tuple[NodeFacts, ...] = ()

    @property
    def gives_memory(self) -> bool:
        """Whether the partition says how much memory goes with what was asked for."""
        return self.partition.gives_memory

    @property
    def most_minutes(self) -> int | None:
        """The partition's time limit."""
        return self.partition.most_minutes

    def shape(self, gpus: int) -> InstanceShape:
        """Return the shape with so many GPUs."""
        return InstanceShape(self.family.gpu, gpus, self.family.memory_gb) if self.gpu else _CPU

    def gres(self, gpus: int) -> str:
        """Return what Slurm calls so many of these GPUs."""
        return f"{self.gpu}:{gpus}" if self.gpu != _UNTYPED else str(gpus)

    def type_id(self, gpus: int) -> str:
        """Return our name of an instance with so many GPUs."""
        return f"gpu:{self.gres(gpus)}" if self.gpu else CPU

    def cpus_for(self, gpus: int) -> int:
        """Return the CPUs that go with so many GPUs: their part of the smallest node that has them."""
        fitting = [node for node in self.nodes if gpus and node.gpus.get(self.gpu, 0) >= gpus]
        return max(1, min((node.cpus * gpus // node.gpus[self.gpu] for node in fitting), default=1))

    def memory_for(self, gpus: int, cpus: int) -> int:
        """Return the MB that go with them where the partition doesn't say: likewise their part."""
        shares = [
            node.memory * gpus // node.gpus[self.gpu] if gpus else node.memory * cpus // node.cpus
            for node in self.nodes
            if node.cpus and (not gpus or node.gpus.get(self.gpu, 0) >= gpus)
        ]
        return max(1, min(shares, default=1))

    def quote(self, gpus: int, *, as_of: datetime) -> Quote:
        """Return what the market says of instances with so many GPUs."""
        fitting = [n for n in self.nodes if not gpus or n.gpus.get(self.gpu, 0) >= gpus]
        free = [
            n
            for n in fitting
            if n.is_there and n.cpus_free and n.gpus_free.get(self.gpu, 0) >= gpus
        ]
        most = self.partition.most_nodes
        return Quote(
            type_id=self.type_id(gpus),
            shape=self.shape(gpus),
            region=self.partition.name,
            price=Price.ZERO,
            floor=Price.ZERO,
            as_of=as_of,
            available=len(free) if most is None else min(most, len(free)),
            capacity=len(fitting) if most is None else min(most, len(fitting)),
            source="Slurm",
        )


def offers_of(
    nodes: Sequence[NodeFacts], partitions: Sequence[Partition], *, names: Mapping[str, str]
) -> list[Offer]:
    """Return every offer, the default partition's first; `names` are GPU families by the cluster's own types."""
    found = []
    for partition in sorted(partitions, key=lambda each: (not each.is_default, each.name)):
        inside = tuple(node for node in nodes if partition.name in node.partitions)
        if not partition.is_up or not inside:
            continue
        found.append(Offer(partition=partition, nodes=inside))
        for gpu in sorted({gpu for node in inside for gpu in node.gpus}):
            having = tuple(node for node in inside if gpu in node.gpus)
            found.append(
                Offer(
                    partition=partition,
                    gpu=gpu,
                    family=_family(gpu, having, names),
                    most=max(node.gpus[gpu] for node in having),
                    nodes=having,
                )
            )
    return found


def read_nodes(text: str) -> list[NodeFacts]:
    """Return the nodes of `scontrol -o -d show nodes`."""
    found = []
    for line in text.splitlines():
        told = dict(_PAIR.findall(line))
        if "NodeName" not in told:
            continue
        gpus = _gpus(told.get("Gres", ""))
        used = _gpus(told.get("GresUsed", ""))
        cpus, memory = _number(told.get("CPUTot")), _number(told.get("RealMemory"))
        found.append(
            NodeFacts(
                name=told["NodeName"],
                address=told.get("NodeAddr") or told["NodeName"],
                is_there=not _AWAY.search(told.get("State", "UNKNOWN"))
                and "*" not in told["State"],
                cpus=cpus,
                cpus_free=cpus - _number(told.get("CPUAlloc")),
                memory=memory,
                memory_free=memory - _number(told.get("AllocMem")),
                gpus=gpus,
                gpus_free={gpu: count - used.get(gpu, 0) for gpu, count in gpus.items()},
                partitions=frozenset(_list(told.get("Partitions", ""))),
                features=_list(told.get("ActiveFeatures", "")),
            )
        )
    return found


def read_partitions(text: str) -> list[Partition]:
    """Return the partitions of `scontrol -o show partitions`."""
    found = []
    for line in text.splitlines():
        told = dict(_PAIR.findall(line))
        if "PartitionName" not in told:
            continue
        memory = [told.get(name, "UNLIMITED") for name in ("DefMemPerCPU", "DefMemPerNode")]
        most_nodes = told.get("MaxNodes", "UNLIMITED")
        found.append(
            Partition(
                name=told["PartitionName"],
                is_up=told.get("State", "UP") == "UP" and told.get("RootOnly") != "YES",
                is_default=told.get("Default") == "YES",
                most_minutes=minutes_of(told.get("MaxTime", "UNLIMITED")),
                most_nodes=int(most_nodes) if most_nodes.isdecimal() else None,
                gives_memory=any(each.isdecimal() and int(each) > 0 for each in memory),
            )
        )
    return found


def minutes_of(text: str) -> int | None:
    """Return a time as scontrol writes it, [days-]hours:minutes:seconds, in minutes; None for no end."""
    match = re.fullmatch(r"(?:([0-9]+)-)?([0-9]+):([0-9]+):([0-9]+)", text)
    if match is None:
        return None
    days, hours, minutes, seconds = (int(each or 0) for each in match.groups())
    return (days * 24 + hours) * 60 + minutes + (seconds > 0)


def _family(gpu: str, nodes: Iterable[NodeFacts], names: Mapping[str, str]) -> InstanceShape:
    """Return what the cluster's own type of GPU is; a family that nobody knows is called as the cluster calls it."""
    for told in (names.get(gpu.lower()), gpu, *dict.fromkeys(f for n in nodes for f in n.features)):
        if not told:
            continue
        try:
            shape = parse_shape(told)
        except InvalidRequest:
            continue
        if shape.gpus:
            return shape
    return InstanceShape(re.sub(r"[^a-z0-9.]+", "", gpu.lower()) or _UNTYPED, 1)


def _gpus(text: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for gpu, count in _GRES.findall(text.replace("(null)", "")):
        name = gpu or _UNTYPED
        found[name] = found.get(name, 0) + int(count)
    return {name: count for name, count in found.items() if count}


def _list(text: str) -> tuple[str, ...]:
    return tuple(each for each in text.split(",") if each and each != "(null)")


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() else 0
