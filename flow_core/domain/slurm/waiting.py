"""From `--dependency` to the tasks of Flow's that are waited for: numbers become names, each way of waiting its own.

A number is what Slurm's scripts know a task by: its SLURM_JOB_ID, or an array's SLURM_ARRAY_JOB_ID. Which task that is
only the journal knows, so it is handed in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import frozen

from flow_core.domain.slurm.values import SINGLETON, Array, Dependency, Wait

#: Slurm's way of waiting -> Flow's.
_WAYS = {
    "afterok": "afterok",
    "afterany": "afterany",
    "afternotok": "afternotok",
    "after": "after",
    "aftercorr": "afterok",
}


@frozen(kw_only=True)
class Numbered:
    """A task, or a group of tasks, that has a number of Slurm's."""

    name: str
    is_group: bool = False


@frozen(kw_only=True)
class Waits:
    """What is waited for: `after` by every task, `each_after` by the index's own task of another array."""

    after: tuple[str, ...] = ()
    each_after: tuple[str, ...] = ()
    is_singleton: bool = False
    problems: tuple[str, ...] = ()


NOTHING = Waits()


def numbers_in(dependency: Dependency | None) -> tuple[str, ...]:
    """Return the numbers that a dependency names, without an array's index."""
    if dependency is None:
        return ()
    return tuple(dict.fromkeys(_parts(each)[0] for each in dependency.waits if each.job))


def waits_of(
    dependency: Dependency | None, array: Array | None, known: Mapping[str, Numbered]
) -> Waits:
    """Return what Flow waits for; `problems` say what it can't."""
    if dependency is None:
        return NOTHING
    problems: list[str] = []
    after: list[str] = []
    each_after: list[str] = []
    if dependency.any_of and len(dependency.waits) > 1:
        problems.append(
            "one of several can't be waited for ('?'); Flow waits for all of them (',')"
        )
    for wait in dependency.waits:
        if wait.kind == SINGLETON:
            continue
        problem = _problem(wait, known)
        if problem:
            problems.append(problem)
            continue
        number, index = _parts(wait)
        task = known[number]
        if wait.kind == "aftercorr" and array is not None and task.is_group and not index:
            each_after.append(task.name)
            continue
        name = f"{task.name}_{index}" if index and task.is_group else task.name
        after.append(f"{_WAYS[wait.kind]}:{name}")
    return Waits(
        after=tuple(after),
        each_after=tuple(each_after),
        is_singleton=any(each.kind == SINGLETON for each in dependency.waits),
        problems=tuple(problems),
    )


def _parts(wait: Wait) -> tuple[str, str]:
    number, _, index = wait.job.partition("+")[0].partition("_")
    return number, "" if index == "*" else index


def _problem(wait: Wait, known: Mapping[str, Numbered]) -> str:
    if wait.kind not in _WAYS:
        return f"{wait.kind} waits for a burst buffer, and there is none"
    if "+" in wait.job:
        return f"{wait}: no time is waited after a task has begun"
    number, _ = _parts(wait)
    if number not in known:
        return f"{number} is the number of no task here; `flow submit --after TASK` waits for one by name"
    return ""


def namesakes(name: str, live: Iterable[str]) -> list[str]:
    """Return which of `live` are this name or this name with a number, which `singleton` makes; each once."""
    return [
        each
        for each in dict.fromkeys(live)
        if each == name or (each.startswith(f"{name}-") and each[len(name) + 1 :].isdigit())
    ]
