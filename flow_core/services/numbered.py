"""Which tasks have which of Slurm's numbers: a script knows a task by its SLURM_JOB_ID, or by its array's."""

from __future__ import annotations

from collections.abc import Iterable

from flow_core.domain.record import TaskRecord
from flow_core.domain.slurm.waiting import Numbered
from flow_core.ports.journal import Journal

#: How many tasks that have ended are looked through.
MOST = 10_000


def tasks_with(journal: Journal, numbers: Iterable[str]) -> dict[str, Numbered]:
    """Return each of `numbers` that a task, or an array of tasks, has; the newest where there are two."""
    wanted = set(numbers)
    found: dict[str, Numbered] = {}
    for record in journal.recent(MOST):
        whole, own = number_of_array(record), number_of(record)
        if whole in wanted and whole not in found:
            found[whole] = Numbered(name=record.group, is_group=True)
        if own in wanted and own not in found:
            found[own] = Numbered(name=record.name)
        if len(found) == len(wanted):
            break
    return found


def number_of(record: TaskRecord) -> str:
    """Return a task's SLURM_JOB_ID; '' where it is no batch script."""
    return record.spec.env.get("SLURM_JOB_ID", "")


def number_of_array(record: TaskRecord) -> str:
    """Return the SLURM_ARRAY_JOB_ID of the array that a task belongs to; '' without one."""
    return record.spec.env.get("SLURM_ARRAY_JOB_ID", "") if record.group else ""
