"""What a batch script asks Slurm for: the values that `scontrol show job` would tell of it.

sbatch fills in what was left out: tasks follow from nodes and tasks per node, nodes from tasks where there are too
many, and the controller works nodes and tasks out of GPUs. `NOT_GIVEN` counts are 0. Source: Slurm 22.05.8, asked
about some thousand combinations (tests/slurm).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from datetime import timedelta

from attrs import evolve, field, frozen

from flow_core.domain.slurm.values import Array, Dependency, Gpus, NodeRange, Signal


class MemoryPer(str, enum.Enum):
    """What an amount of memory is for."""

    NODE = "node"
    CPU = "cpu"
    GPU = "gpu"


@frozen
class Memory:
    """Megabytes for each node, CPU or GPU; 0 is all that there is."""

    mb: int
    per: MemoryPer = MemoryPer.NODE


@frozen(kw_only=True)
class Batch:
    """A batch script as Slurm understands it.

    `nodes` is the range that Slurm may grant; `nodes_are_given` says whether the script or its GPUs set it, rather
    than leaving it to the scheduler. `ntasks_is_given` likewise: SLURM_NTASKS is set only then. GPUs stand as they
    were asked for, by node, in all, by task and by socket; `generic` are other resources of a node. `array_tasks`
    and `dependency` are None where there is none. `requeue` is None where the cluster decides.
    """

    name: str
    nodes: NodeRange = field(default=NodeRange(1, 0))
    nodes_are_given: bool = False
    ntasks: int = 1
    ntasks_is_given: bool = False
    ntasks_per_node: int = 0
    cpus_per_task: int = 1
    cpus_per_task_is_given: bool = False
    gpus_per_node: tuple[Gpus, ...] = ()
    gpus: tuple[Gpus, ...] = ()
    gpus_per_task: tuple[Gpus, ...] = ()
    gpus_per_socket: tuple[Gpus, ...] = ()
    sockets_per_node: int = 0
    ntasks_per_gpu: int = 0
    cpus_per_gpu: int = 0
    generic: tuple[tuple[str, Gpus], ...] = ()
    time_limit: timedelta | None = None
    memory: Memory | None = None
    array: Array | None = None
    dependency: Dependency | None = None
    output: str | None = None
    error: str | None = None
    input: str | None = None
    appends: bool | None = None
    working_dir: str | None = None
    signal: Signal | None = None
    requeue: bool | None = None
    export: str | None = None
    begin: str | None = None
    is_held: bool = False
    is_exclusive: bool = False
    constraint: str | None = None
    #: Options that Slurm's own sbatch doesn't have and a site's may: pyxis's.
    container: Mapping[str, str] = field(factory=dict, hash=False)

    @property
    def output_pattern(self) -> str:
        """Where its output goes, before `%` patterns are replaced."""
        if self.output is not None:
            return self.output
        return "slurm-%j.out" if self.array is None else "slurm-%A_%a.out"


class Contradiction(ValueError):
    """Values that are right one by one and that Slurm refuses together; the text is a sentence."""


@frozen(kw_only=True)
class Geometry:
    """What decides nodes and tasks, as it was given; 0 where it was not, and `most` 0 for no upper bound."""

    nodes: NodeRange | None = None
    hosts: int = 0
    ntasks: int = 0
    ntasks_per_node: int = 0
    cpus_per_task: int = 0
    sockets: int = 0
    cores: int = 0
    threads: int = 0
    #: -B, which also says that a task is wanted on each core it names.
    is_shaped: bool = False
    per_node: tuple[Gpus, ...] = ()
    total: tuple[Gpus, ...] = ()
    per_task: tuple[Gpus, ...] = ()
    per_socket: tuple[Gpus, ...] = ()
    ntasks_per_gpu: int = 0
    cpus_per_gpu: int = 0
    #: --spread-job: as many nodes as tasks.
    is_spread: bool = False
    #: --mem-per-gpu means nothing without GPUs; but 0 of it is nothing asked for.
    wants_gpus: bool = False


@frozen(kw_only=True)
class Filled:
    """Nodes and tasks once everything was filled in; `notes` say what Slurm changed."""

    nodes: NodeRange
    nodes_are_given: bool
    ntasks: int
    ntasks_is_given: bool
    ntasks_per_node: int
    cpus_per_task: int
    notes: tuple[str, ...] = ()


def filled(asked: Geometry) -> Filled:
    """Return the nodes and tasks that Slurm makes of `asked`.

    Raises:
        Contradiction: it refuses.
    """
    _refuse_rivals(asked)
    nodes, is_given = _nodes_of(asked)
    ntasks = asked.ntasks
    notes: tuple[str, ...] = ()
    if ntasks and is_given and ntasks < nodes.least:
        notes = (f"{ntasks} tasks can't run on {nodes.least} nodes; Slurm takes {ntasks} nodes",)
        nodes = NodeRange(ntasks, ntasks)
    elif ntasks and nodes.most > ntasks:
        nodes = NodeRange(nodes.least, ntasks)
    if not ntasks:
        ntasks = _tasks_of(asked, nodes)
    if asked.is_spread and ntasks and not nodes.most:
        nodes = NodeRange(nodes.least, ntasks)
    found = Filled(
        nodes=nodes,
        nodes_are_given=is_given,
        ntasks=ntasks,
        ntasks_is_given=bool(ntasks),
        ntasks_per_node=asked.ntasks_per_node,
        cpus_per_task=asked.cpus_per_task,
        notes=notes,
    )
    found = _with_gpus(asked, found)
    return evolve(
        found,
        ntasks=found.ntasks or max(1, found.nodes.least) * (asked.ntasks_per_node or 1),
        cpus_per_task=found.cpus_per_task or 1,
    )


def _refuse_rivals(asked: Geometry) -> None:
    if asked.ntasks_per_gpu:
        rivals = (
            ("--gpus-per-task", asked.per_task),
            ("--gpus-per-socket", asked.per_socket),
            ("--ntasks-per-node", asked.ntasks_per_node),
        )
        for name, value in rivals:
            if value:
                raise Contradiction(f"{name} and --ntasks-per-gpu exclude each other")
    if asked.cpus_per_gpu and asked.cpus_per_task:
        raise Contradiction("--cpus-per-gpu and --cpus-per-task exclude each other")
    if asked.per_socket and not asked.sockets:
        raise Contradiction("--gpus-per-socket needs --sockets-per-node")


def _nodes_of(asked: Geometry) -> tuple[NodeRange, bool]:
    if asked.nodes is None:
        return NodeRange(max(1, asked.hosts), 0), bool(asked.hosts)
    nodes = asked.nodes
    if nodes.most < asked.hosts:
        raise Contradiction(
            f"--nodelist names {asked.hosts} nodes, and --nodes allows {nodes.most}"
        )
    return NodeRange(max(nodes.least, asked.hosts), nodes.most), True


def _tasks_of(asked: Geometry, nodes: NodeRange) -> int:
    if asked.ntasks_per_node:
        is_range = asked.nodes is not None and nodes.most != nodes.least
        return 0 if is_range else nodes.least * asked.ntasks_per_node
    is_shaped = bool(asked.sockets or asked.cores or asked.threads)
    if asked.nodes is not None:
        is_told = nodes.most == nodes.least
    else:
        is_told = asked.is_shaped or (is_shaped and asked.hosts > 0)
    shape = (asked.sockets or 1) * (asked.cores or 1) * (asked.threads or 1)
    if (asked.cpus_per_task or asked.ntasks_per_gpu) and not is_shaped:
        return 0
    return nodes.least * shape if is_told else 0


def _with_gpus(asked: Geometry, found: Filled) -> Filled:
    """Work in what GPUs say about nodes and tasks, one type after the other, as the controller does."""
    kinds = (asked.per_node, asked.total, asked.per_task, asked.per_socket)
    types = list(dict.fromkeys(gpus.type for kind in kinds for gpus in kind if gpus.count))
    if "" in types and len(types) > 1:
        raise Contradiction("GPUs are asked for with a type and without one")
    if asked.ntasks_per_gpu and not types:
        types = [""]
    elif asked.wants_gpus and not types and not asked.ntasks_per_gpu:
        raise Contradiction("memory for each GPU is asked for, and no GPU is")
    ntasks = 0
    for type_ in types:
        counts = [_count_of(kind, type_) for kind in kinds]
        found = _with_one_type(asked, found, type_, *counts)
        if asked.ntasks_per_gpu:
            ntasks += found.ntasks
    return evolve(found, ntasks=ntasks or found.ntasks)


def _count_of(gpus: tuple[Gpus, ...], type_: str) -> int:
    counts = [each.count for each in gpus if each.type == type_ and each.count]
    return counts[-1] if counts else 0


def _with_one_type(
    asked: Geometry, found: Filled, type_: str, per_node: int, total: int, per_task: int, per_socket: int,
) -> Filled:  # fmt: skip
    if total and total < max(per_node, per_task, per_socket):
        raise Contradiction("--gpus is less than GPUs per node, task or socket")
    if per_node and per_node < max(per_task, per_socket):
        raise Contradiction("GPUs per node are fewer than per task or socket")
    nodes = found.nodes
    if total and per_node:
        if total % per_node:
            raise Contradiction("--gpus is no multiple of GPUs per node")
        count = total // per_node
        if count < nodes.least or (nodes.most and count > nodes.most):
            raise Contradiction(
                f"--gpus and GPUs per node make {count} nodes, which --nodes rules out"
            )
        nodes = NodeRange(count, count)
        found = evolve(found, nodes=nodes, nodes_are_given=True)
    if asked.ntasks_per_gpu:
        found, total = _with_tasks_per_gpu(asked, found, type_, per_node, total)
    if per_socket and per_node and per_node != per_socket * asked.sockets:
        raise Contradiction("GPUs per node don't fit GPUs per socket and --sockets-per-node")
    if per_task:
        found, total = _with_gpus_per_task(found, per_node, total, per_task, per_socket)
        if asked.cpus_per_gpu and not type_:
            found = evolve(found, cpus_per_task=asked.cpus_per_gpu * per_task)
    if total:
        if total < nodes.least:
            raise Contradiction(f"{total} GPUs can't be spread over {nodes.least} nodes")
        if nodes.most > total:
            found = evolve(found, nodes=NodeRange(nodes.least, total))
    return found


def _with_tasks_per_gpu(
    asked: Geometry, found: Filled, type_: str, per_node: int, total: int
) -> tuple[Filled, int]:
    each = asked.ntasks_per_gpu
    if total:
        most = max(gpus.count for gpus in asked.total if gpus.type == type_)
        return evolve(found, ntasks=most * each, ntasks_is_given=True), total
    if per_node:
        most = max(gpus.count for gpus in asked.per_node if gpus.type == type_)
        ntasks = found.nodes.least * most * each
        return evolve(found, ntasks=ntasks, ntasks_is_given=True), 0
    if found.ntasks:
        if found.ntasks < each:
            return found, 0
        if found.ntasks % each:
            raise Contradiction("--ntasks is no multiple of --ntasks-per-gpu")
        return found, found.ntasks // each
    if not found.nodes_are_given or found.nodes.least != found.nodes.most:
        raise Contradiction("--ntasks-per-gpu needs GPUs, or --ntasks, or --nodes")
    count = found.nodes.least
    return evolve(found, ntasks=count * each, ntasks_is_given=True), count


def _with_gpus_per_task(
    found: Filled, per_node: int, total: int, per_task: int, per_socket: int
) -> tuple[Filled, int]:
    if total:
        if total % per_task:
            raise Contradiction("--gpus is no multiple of --gpus-per-task")
        ntasks = total // per_task
        if found.ntasks not in (0, ntasks):
            raise Contradiction(
                f"--gpus and --gpus-per-task make {ntasks} tasks, and --ntasks says {found.ntasks}"
            )
        found = evolve(found, ntasks=ntasks, ntasks_is_given=True)
    elif found.ntasks:
        total = per_task * found.ntasks
    else:
        raise Contradiction("--gpus-per-task needs --gpus or --ntasks")
    if per_node:
        if per_node % per_task:
            raise Contradiction("GPUs per node are no multiple of --gpus-per-task")
        count = per_node // per_task
        if found.ntasks_per_node not in (0, count):
            raise Contradiction(
                f"GPUs make {count} tasks per node, and --ntasks-per-node says {found.ntasks_per_node}"
            )
        found = evolve(found, ntasks_per_node=count)
    if per_socket and per_socket % per_task:
        raise Contradiction("--gpus-per-socket is no multiple of --gpus-per-task")
    return found, total
