"""An array as tasks: one for each index, alike but for their names and their places in the array."""

from __future__ import annotations

from attrs import evolve

from flow_core.domain.slurm.converting import Conversion, members
from flow_core.domain.task import TaskSpec
from flow_core.domain.task_parts import Dependency


def array_specs(spec: TaskSpec, array: Conversion, *, name: str) -> list[TaskSpec]:
    """Return `spec` for each index, named `NAME_INDEX`, with the variables of its place in the array."""
    return [
        evolve(
            spec,
            name=f"{name}_{each.index}",
            env={**spec.env, **each.env},
            after=(*spec.after, *(Dependency(word.partition(":")[2]) for word in each.after)),
        )
        for each in members(array)
    ]
