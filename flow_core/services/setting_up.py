"""What a task's nodes have to set up before the command: the part of a delivery that the kit on the node carries out.

Each part is plain JSON under its step's name; `flow_core/node/kit/enter.py` has the steps, in the same order. A part
that holds a secret is told to the node over the shell and kept there in a file that only root reads.
"""

from __future__ import annotations

from collections.abc import Callable

from flow_core.domain.status import TaskView
from flow_core.domain.task_parts import Guard
from flow_core.services.attending import attending_part
from flow_core.services.data_buckets import buckets_part
from flow_core.services.data_volumes import volumes_part
from flow_core.services.placing import is_batch_script, wants_setup
from flow_core.services.ports import Ports

#: Returns what one step has to do for a task; None when nothing.
Part = Callable[[Ports, TaskView], object]


def _fellows(ports: Ports, view: TaskView) -> object:
    """Return what launchers must know of all nodes; None for a node alone."""
    spec = view.record.spec
    return (
        {"gpus": spec.instance_type.gpus if spec.instance_type else 0}
        if spec.num_instances > 1
        else None
    )


def _environment(ports: Ports, view: TaskView) -> object:
    """Return what the command's Python comes from; None where it is the node's own."""
    what = view.record.spec.environment
    return {"what": what} if what and what != "none" else None


def _image(ports: Ports, view: TaskView) -> object:
    """Return the image that the node's own Docker runs the command in; None where nodes are containers already."""
    spec = view.record.spec
    if spec.image is None or not ports.provider.limits.images_by_kit:
        return None
    return {"name": spec.image, "mounts": [mount.path for mount in spec.mounts]}


def _batch(ports: Ports, view: TaskView) -> object:
    """Return what makes the kit come along for a batch script, which takes `srun` and its kin from it by itself."""
    return True if is_batch_script(view.record.spec) else None


def _idle(ports: Ports, view: TaskView) -> object:
    """Return what makes the kit come along to tell whether a node is idle; no step does anything with it."""
    return True if view.record.spec.idle_timeout is not None else None


def _guard(ports: Ports, view: TaskView) -> object:
    """Return what makes the kit come along for the guard, which gets its key by itself and only on the first node."""
    return True if view.record.spec.guard is Guard.NODE else None


#: step -> what says its part.
PARTS: dict[str, Part] = {
    "fellows": _fellows,
    "volumes": volumes_part,
    "s3": buckets_part,
    "attending": attending_part,
    "environment": _environment,
    "image": _image,
    "batch": _batch,
    "idle": _idle,
    "guard": _guard,
}


def setup_of(ports: Ports, view: TaskView) -> dict[str, object]:
    """Return what the nodes of `view` have to set up; empty when the node script does without."""
    if not wants_setup(view.record.spec, ports.provider):
        return {}
    told = {name: part(ports, view) for name, part in PARTS.items()}
    return {name: value for name, value in told.items() if value is not None}
