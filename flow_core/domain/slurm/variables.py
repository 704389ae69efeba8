"""What a batch script's environment holds that is known before there are nodes; the rest is found out on the node."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

from flow_core.domain.slurm.batch import Batch, MemoryPer
from flow_core.domain.slurm.reading import Reading

_MEMORY = {
    MemoryPer.NODE: "SLURM_MEM_PER_NODE",
    MemoryPer.CPU: "SLURM_MEM_PER_CPU",
    MemoryPer.GPU: "SLURM_MEM_PER_GPU",
}
#: option -> the variable that repeats it as it was written.
_VERBATIM = {
    "gpus": "SLURM_GPUS",
    "gpus-per-node": "SLURM_GPUS_PER_NODE",
    "gpus-per-task": "SLURM_GPUS_PER_TASK",
    "cpus-per-gpu": "SLURM_CPUS_PER_GPU",
    "ntasks-per-gpu": "SLURM_NTASKS_PER_GPU",
    "account": "SLURM_JOB_ACCOUNT",
    "qos": "SLURM_JOB_QOS",
    "partition": "SLURM_JOB_PARTITION",
    "distribution": "SLURM_DISTRIBUTION",
}
#: Only with one of these does SLURM_NTASKS exist.
_COUNT_TASKS = ("ntasks", "ntasks-per-node", "ntasks-per-gpu")


def variables(
    reading: Reading, batch: Batch, *, count: int, number: int, key: str = ""
) -> dict[str, str]:
    """Return SLURM_* for a script on `count` nodes, whose number is to be `number`, and our own for its start.

    What the tasks of an array have besides is told by `array_variables`.
    """
    found = {
        "SLURM_JOB_ID": str(number),
        "SLURM_JOB_NAME": batch.name,
        "SLURM_CLUSTER_NAME": "flow",
        "SLURM_JOB_PARTITION": "flow",
        "SLURM_TASKS_PER_NODE": tasks_per_node(batch, count),
    }
    if key:
        found["FLOW_SLURM_KEY"] = key
    for option, name in _VERBATIM.items():
        told = reading.last(option)
        if told is not None and told.value:
            found[name] = told.value
    if any(reading.last(option) for option in _COUNT_TASKS):
        found["SLURM_NTASKS"] = found["SLURM_NPROCS"] = str(batch.ntasks)
    if batch.ntasks_per_node:
        found["SLURM_NTASKS_PER_NODE"] = str(batch.ntasks_per_node)
    if batch.cpus_per_task_is_given:
        found["SLURM_CPUS_PER_TASK"] = str(batch.cpus_per_task)
    if batch.memory is not None and batch.memory.mb:
        found[_MEMORY[batch.memory.per]] = str(batch.memory.mb)
    return {**found, **_of_start(batch)}


def array_variables(indices: Sequence[int], number: int) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield each index with what its task has besides; `number` is the whole array's, and its last task's."""
    step = indices.step if isinstance(indices, range) else 1
    shared = {
        "SLURM_ARRAY_JOB_ID": str(number),
        "SLURM_ARRAY_TASK_COUNT": str(len(indices)),
        "SLURM_ARRAY_TASK_MIN": str(indices[0]),
        "SLURM_ARRAY_TASK_MAX": str(indices[-1]),
        "SLURM_ARRAY_TASK_STEP": str(step),
    }
    for place, index in enumerate(indices, 1):
        own = number if place == len(indices) else number + place
        yield index, {**shared, "SLURM_JOB_ID": str(own), "SLURM_ARRAY_TASK_ID": str(index)}


def tasks_per_node(batch: Batch, count: int) -> str:
    """Return tasks of each node as Slurm writes it: `4(x2),3`; they are spread evenly, the first nodes having more."""
    tasks = batch.ntasks if batch.ntasks_is_given else count
    each, more = divmod(max(tasks, count), count)
    runs = [(each + 1, more), (each, count - more)]
    return ",".join(
        f"{size}(x{nodes})" if nodes > 1 else str(size) for size, nodes in runs if nodes
    )


def _of_start(batch: Batch) -> dict[str, str]:
    found = {}
    if batch.time_limit is not None:
        found["FLOW_SLURM_TIME_S"] = str(batch.time_limit // timedelta(seconds=1))
        if batch.signal is not None:
            before = batch.signal.before // timedelta(seconds=1)
            whom = "" if batch.signal.to_batch else "@steps"
            found["FLOW_SLURM_SIGNAL"] = f"{batch.signal.name}@{before}{whom}"
    if batch.requeue is False:
        found["FLOW_SLURM_REQUEUE"] = "no"
    if batch.output is not None:
        found["FLOW_SLURM_OUTPUT"] = batch.output
    if batch.error is not None:
        found["FLOW_SLURM_ERROR"] = batch.error
    if batch.appends:
        found["FLOW_SLURM_APPENDS"] = "yes"
    if batch.input is not None:
        found["FLOW_SLURM_INPUT"] = batch.input
    for word in (batch.export or "").split(","):
        name, equals, value = word.partition("=")
        if equals:
            found[name] = value
    return found
