"""A group: tasks that were submitted together under one name, of which only so many run at once.

An array of Slurm's is one (`train_0`, `train_1`, ...), and so is a sweep (`train/lr=0.1`, ...). Each of its tasks is a
task like any other, with a name, a log and an end of its own; what makes them a group is that all are written down
together or not at all, that they are shown as one line, and that the watcher lets no more of them bid than it may.

A task that is over and still holds nodes counts as one that runs: "at once" is about what is paid for. What we don't
like: the limit is kept by the watcher of one machine, so it is no limit for two groups that share a budget.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime

from attrs import frozen

from flow_core.domain.record import Outcome, Step, TaskRecord
from flow_core.domain.status import TaskState, TaskView

#: The most tasks of one group.
MOST = 10_000


class Seats:
    """How many more tasks of each group may begin, given every live one."""

    def __init__(self, live: Iterable[TaskRecord]) -> None:
        self._taken = Counter(
            record.group_token for record in live if record.group and record.step is not Step.HELD
        )

    def has_one(self, record: TaskRecord) -> bool:
        """Whether this task may begin as far as its group is concerned."""
        return not record.at_once or self._taken[record.group_token] < record.at_once

    def take(self, record: TaskRecord) -> None:
        """Count it among those that run."""
        if record.group:
            self._taken[record.group_token] += 1


@frozen(kw_only=True)
class GroupView:
    """Everything known about a group at one moment: its tasks in the order they were submitted."""

    name: str
    token: str
    views: tuple[TaskView, ...]

    @property
    def states(self) -> Counter[TaskState]:
        """How many of its tasks are in which state."""
        return Counter(view.state for view in self.views)

    @property
    def is_final(self) -> bool:
        """Whether all of its tasks have ended and nothing of them costs money."""
        return not any(view.record.is_live for view in self.views)

    @property
    def at_once(self) -> int:
        """How many of its tasks run at once at most; 0 for all."""
        return self.views[0].record.at_once

    @property
    def created_at(self) -> datetime:
        """When it was submitted."""
        return self.views[0].record.created_at

    @property
    def exit_code(self) -> int | None:
        """The highest exit code of its tasks; None before one has ended by itself."""
        codes = [view.record.exit_code for view in self.views if view.record.exit_code is not None]
        return max(codes, default=None)


def met_by_group(wanted: str, members: Sequence[TaskRecord]) -> str | None:
    """Return '' when a condition on a whole group is met, a reason when it never will be, None while it is open.

    `wanted` is a condition's word: `ok` waits for the success of all, `notok` for the end of all and the failure of
    one, `any` for the end of all, and the empty one for the begin (or the end) of all.
    """
    name = members[0].group
    failed = [each for each in members if each.has_ended and each.outcome is not Outcome.SUCCEEDED]
    if wanted == "ok" and failed:
        return f"{failed[0].name!r} of {name!r}, which it waits for, ended as {_word(failed[0])}"
    if wanted == "" and all(each.began_at is not None or each.has_ended for each in members):
        return ""
    if not all(each.has_ended for each in members):
        return None
    if wanted == "notok" and not failed:
        return f"every task of {name!r}, whose failure it waits for, succeeded"
    return ""


def _word(record: TaskRecord) -> str:
    return record.outcome.value if record.outcome is not None else "?"
