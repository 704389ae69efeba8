"""From GPUs by node, task or in all, to instances: how many, and with which GPUs.

Slurm leaves to its scheduler what a script doesn't say; a market sells instances of a size. Where a script counts
GPUs in all and not by node, eight go to an instance, the size that every market has.
"""

from __future__ import annotations

import math

from attrs import frozen

from flow_core.domain.shape import CPU, InstanceShape, parse_shape
from flow_core.domain.slurm.batch import Batch
from flow_core.domain.slurm.values import Gpus
from flow_core.errors import InvalidRequest

MOST_PER_INSTANCE = 8


class Unserved(ValueError):
    """Flow can't give what is asked for; the text is a sentence with what to do."""


@frozen(kw_only=True)
class Instances:
    """How many instances, of which shape (None: whatever is cheapest), and what was decided for the script."""

    count: int
    shape: InstanceShape | None
    notes: tuple[str, ...] = ()


def instances_for(
    batch: Batch, *, shape: InstanceShape | None = None, has_queue: bool = False
) -> Instances:
    """Return the instances that `batch` needs; `shape` is the user's own choice and counts first.

    Without GPUs, a cluster with a queue of its own gives CPUs; a market sells what is cheapest.

    Raises:
        Unserved: it asks for two types of GPU, for one that Flow doesn't know, or for GPUs without a type.
    """
    type_ = _type_of(batch)
    notes: list[str] = []
    nodes, per_node = _spread(batch, notes)
    if batch.nodes_are_given and batch.nodes.most > batch.nodes.least:
        notes.append(f"of {batch.nodes.least} to {batch.nodes.most} nodes, {nodes} are taken")
    if shape is not None:
        if per_node > shape.gpus:
            notes.append(f"{shape} has fewer GPUs than the {per_node} that a node was to have")
        return Instances(count=nodes, shape=shape, notes=tuple(notes))
    if not per_node and has_queue:
        return Instances(count=nodes, shape=parse_shape(CPU), notes=tuple(notes))
    if not per_node:
        notes.append(
            "no GPU is asked for: the cheapest instance on offer is taken; -i names another"
        )
        return Instances(count=nodes, shape=None, notes=tuple(notes))
    if not type_:
        raise Unserved(
            f"{per_node} GPUs to a node, and no type of GPU: say -i {per_node}xTYPE, such as -i {per_node}xh100"
        )
    try:
        found = parse_shape(f"{per_node}x{type_}")
    except InvalidRequest as unknown:
        raise Unserved(
            f"{unknown.problems['instance_type']}; -i names the instance type"
        ) from unknown
    return Instances(count=nodes, shape=found, notes=tuple(notes))


def _type_of(batch: Batch) -> str:
    kinds = (batch.gpus_per_node, batch.gpus, batch.gpus_per_task, batch.gpus_per_socket)
    types = {each.type for kind in kinds for each in kind if each.count and each.type}
    if len(types) > 1:
        raise Unserved(
            f"an instance has GPUs of one type, and {' and '.join(sorted(types))} are asked for"
        )
    return types.pop() if types else ""


def _most(gpus: tuple[Gpus, ...]) -> int:
    return max((each.count for each in gpus), default=0)


def _spread(batch: Batch, notes: list[str]) -> tuple[int, int]:
    """Return nodes and GPUs of each."""
    nodes = max(1, batch.nodes.least)
    if batch.ntasks_per_node and not batch.nodes_are_given:
        nodes = max(nodes, math.ceil(batch.ntasks / batch.ntasks_per_node))
    per_node = _most(batch.gpus_per_node)
    if batch.gpus_per_socket:
        per_node = max(per_node, _most(batch.gpus_per_socket) * max(1, batch.sockets_per_node))
    total = _most(batch.gpus) or _most(batch.gpus_per_task) * batch.ntasks
    if not total and batch.ntasks_per_gpu and not per_node:
        total = math.ceil(batch.ntasks / batch.ntasks_per_gpu)
    if per_node:
        if total and not batch.nodes_are_given:
            nodes = max(nodes, math.ceil(total / per_node))
        return nodes, per_node
    if not total:
        return nodes, 0
    if not batch.nodes_are_given:
        nodes = max(nodes, math.ceil(total / MOST_PER_INSTANCE))
    each = math.ceil(total / nodes)
    if nodes * each != total:
        notes.append(f"{total} GPUs on {nodes} nodes are made {each} on each")
    elif nodes > 1 and not batch.nodes_are_given:
        notes.append(f"{total} GPUs in all are made {nodes} instances of {each}")
    return nodes, each
