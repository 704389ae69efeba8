"""A batch script: what becomes of each directive, what Slurm would make of it, and the task that Flow does."""

from __future__ import annotations

from collections.abc import Mapping

from flow_cli.show.layout import Cell, Column, Panel, Table
from flow_cli.show.text import seconds
from flow_core.domain.duration import format_duration
from flow_core.domain.slurm.batch import Batch
from flow_core.domain.slurm.converting import Conversion
from flow_core.domain.slurm.policy import Fate
from flow_core.domain.slurm.values import Gpus

_STYLES = {Fate.HONOURED: "green", Fate.IGNORED: "yellow", Fate.REFUSED: "red"}


def treatment_table(found: Conversion) -> Table:
    """Return each option that counts, with what becomes of it and why."""
    columns = (
        Column("Where"),
        Column("Option", cuts=True),
        Column("Becomes"),
        Column("Why", folds=True),
    )
    rows = tuple(
        (
            Cell(each.where, "dim"),
            Cell(f"--{each.option}" + (f"={each.value}" if each.value is not None else "")),
            Cell(each.fate.value, _STYLES[each.fate]),
            Cell(each.why),
        )
        for each in found.treated
    )
    empty = (
        "sbatch refuses this script." if found.reading.batch is None else "No directive is heard."
    )
    return Table(columns=columns, rows=rows, empty=empty, notes=found.notes)


def batch_panel(batch: Batch) -> Panel:
    """Return what Slurm would make of the script."""
    rows = {name: text for name, text in _facts(batch).items() if text}
    return Panel(
        title="As Slurm reads it",
        rows=tuple((name, Cell(text)) for name, text in rows.items()),
    )


def task_panel(task: Mapping[str, object]) -> Panel:
    """Return the task in the words of a task's file; the command stands for the script."""
    rows = []
    for name, value in task.items():
        if name == "command":
            text = f"the script, unedited ({str(value).count(chr(10)) + 1} lines with what stands around it)"
        elif isinstance(value, Mapping):
            text = "\n".join(f"{key}={each}" for key, each in value.items())
        else:
            text = str(value)
        rows.append((name, Cell(text)))
    return Panel(title="The task", rows=tuple(rows))


def script_json(found: Conversion) -> dict[str, object]:
    """Return the payload of a `batch-script` document."""
    batch = found.reading.batch
    return {
        "accepted_by_sbatch": batch is not None,
        "directives": [
            {
                "option": each.option,
                "value": each.value,
                "where": each.where,
                "becomes": each.fate.value,
                "why": each.why,
            }
            for each in found.treated
        ],
        "refusals": list(found.refusals),
        "warnings": list(found.warnings),
        "notes": list(found.notes),
        "effective": None if batch is None else _values(batch),
        "task": found.task,
    }


def _facts(batch: Batch) -> dict[str, str]:
    nodes = batch.nodes
    limit = batch.time_limit
    memory = batch.memory
    return {
        "Name": batch.name,
        "Nodes": f"{nodes.least}"
        if nodes.most in (0, nodes.least)
        else f"{nodes.least}-{nodes.most}",
        "Tasks": str(batch.ntasks),
        "Tasks per node": str(batch.ntasks_per_node or ""),
        "CPUs per task": str(batch.cpus_per_task),
        "GPUs per node": _gpus(batch.gpus_per_node),
        "GPUs in all": _gpus(batch.gpus),
        "GPUs per task": _gpus(batch.gpus_per_task),
        "GPUs per socket": _gpus(batch.gpus_per_socket),
        "Time limit": format_duration(limit) if limit is not None else "none",
        "Memory": f"{memory.mb} MB per {memory.per.value}" if memory is not None else "",
        "Array": str(batch.array or ""),
        "Dependency": str(batch.dependency or ""),
        "Output": batch.output_pattern,
        "Errors": batch.error or "",
    }


def _values(batch: Batch) -> dict[str, object]:
    signal, memory = batch.signal, batch.memory
    return {
        "name": batch.name,
        "min_nodes": batch.nodes.least,
        "max_nodes": batch.nodes.most or None,
        "tasks": batch.ntasks,
        "tasks_per_node": batch.ntasks_per_node or None,
        "cpus_per_task": batch.cpus_per_task,
        "gpus_per_node": [_gpu(each) for each in batch.gpus_per_node],
        "gpus": [_gpu(each) for each in batch.gpus],
        "gpus_per_task": [_gpu(each) for each in batch.gpus_per_task],
        "gpus_per_socket": [_gpu(each) for each in batch.gpus_per_socket],
        "time_limit_s": seconds(batch.time_limit),
        "memory_mb": memory.mb if memory is not None else None,
        "memory_per": memory.per.value if memory is not None else None,
        "array": str(batch.array) if batch.array is not None else None,
        "dependency": str(batch.dependency) if batch.dependency is not None else None,
        "output": batch.output_pattern,
        "error": batch.error,
        "signal": signal.name if signal is not None else None,
        "signal_before_s": seconds(signal.before) if signal is not None else None,
        "signal_to_script": signal.to_batch if signal is not None else None,
        "requeue": batch.requeue,
    }


def _gpu(gpus: Gpus) -> dict[str, object]:
    return {"type": gpus.type or None, "count": gpus.count}


def _gpus(gpus: tuple[Gpus, ...]) -> str:
    return ", ".join(str(each) for each in gpus)
