"""The only place that says what state a task is in.

A task's state is derived, never stored: from what this machine intended (the record), what the market says (the bid),
which nodes there are (the allocation) and what they say of the command (the reports). Order matters, and is this:
an outcome outranks everything; an exit that ends the task outranks its bid, because nothing takes it back; a bid that
is going (PREEMPTING, PAUSED) outranks what stale nodes report otherwise.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence

from attrs import frozen

from flow_core.domain.allocation import Allocation, NoticeKind
from flow_core.domain.bid import Bid, BidState
from flow_core.domain.ending import end_of
from flow_core.domain.record import Outcome, Step, TaskRecord
from flow_core.domain.run import RunPhase, RunReport


class TaskState(str, enum.Enum):
    """The word a user sees."""

    HELD = "held"
    PENDING = "pending"
    BIDDING = "bidding"
    STARTING = "starting"
    RUNNING = "running"
    PREEMPTING = "preempting"
    RELOCATING = "relocating"
    PREEMPTED = "preempted"
    PAUSED = "paused"
    ENDING = "ending"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether nothing follows."""
        return self in FINAL

    def __str__(self) -> str:
        return self.value


FINAL = frozenset({TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELLED})

_GOING = frozenset({TaskState.ENDING, *FINAL})
_WITH_BID = frozenset(
    {
        TaskState.BIDDING,
        TaskState.STARTING,
        TaskState.RUNNING,
        TaskState.PREEMPTING,
        TaskState.RELOCATING,
        TaskState.PREEMPTED,
        TaskState.PAUSED,
    }
)
#: state -> states that may come next, as the docs draw it. Polling may skip some.
TASK_TRANSITIONS: dict[TaskState, frozenset[TaskState]] = {
    TaskState.HELD: frozenset(
        {TaskState.PENDING, TaskState.ENDING, TaskState.CANCELLED, TaskState.FAILED}
    ),
    TaskState.PENDING: frozenset(
        {
            TaskState.BIDDING,
            TaskState.STARTING,
            TaskState.ENDING,
            TaskState.CANCELLED,
            TaskState.FAILED,
        }
    ),
    TaskState.BIDDING: frozenset({TaskState.STARTING, TaskState.PAUSED, *_GOING}),
    TaskState.STARTING: frozenset(
        {TaskState.RUNNING, TaskState.PREEMPTING, TaskState.RELOCATING, TaskState.PAUSED, *_GOING}
    ),
    TaskState.RUNNING: frozenset(
        {TaskState.STARTING, TaskState.PREEMPTING, TaskState.RELOCATING, TaskState.PAUSED, *_GOING}
    ),
    TaskState.PREEMPTING: frozenset(
        {TaskState.RUNNING, TaskState.STARTING, TaskState.PREEMPTED, TaskState.PAUSED, *_GOING}
    ),
    TaskState.RELOCATING: frozenset(
        {TaskState.STARTING, TaskState.RUNNING, TaskState.PREEMPTED, TaskState.PAUSED, *_GOING}
    ),
    TaskState.PREEMPTED: frozenset({TaskState.STARTING, TaskState.PAUSED, *_GOING}),
    TaskState.PAUSED: frozenset(
        {TaskState.BIDDING, TaskState.PREEMPTED, TaskState.STARTING, *_GOING}
    ),
    # One node's failure is not the task's when the bid or a fellow goes before the watcher has written it down.
    TaskState.ENDING: FINAL | (_WITH_BID - {TaskState.BIDDING}),
    TaskState.COMPLETED: frozenset(),
    TaskState.FAILED: frozenset(),
    TaskState.CANCELLED: frozenset(),
}


@frozen(kw_only=True)
class TaskView:
    """Everything known about one task at one moment: the core's answer to `flow status TASK`."""

    record: TaskRecord
    bid: Bid | None = None
    allocation: Allocation | None = None
    reports: tuple[RunReport, ...] = ()

    @property
    def state(self) -> TaskState:
        """The word for it."""
        return task_state(self.record, self.bid, self.allocation, self.reports)


def task_state(
    record: TaskRecord, bid: Bid | None, allocation: Allocation | None, reports: Sequence[RunReport]
) -> TaskState:
    """Return the state that these four sources add up to."""
    if record.outcome is not None:
        return _ended(record.outcome)
    if record.cancel_asked:
        return TaskState.ENDING
    if record.step is Step.HELD:
        return TaskState.HELD
    if bid is None:
        return TaskState.PENDING
    if end_of(record, bid, allocation, reports) is not None:
        return TaskState.ENDING
    if bid.state is BidState.TERMINATED:
        return TaskState.ENDING
    if bid.state is BidState.PAUSED:
        return TaskState.PAUSED
    if bid.state is BidState.PREEMPTING:
        return TaskState.PREEMPTING
    if bid.state is BidState.RELOCATING:
        return TaskState.RELOCATING
    if allocation is not None and allocation.notice is not None:
        relocating = allocation.notice.kind is NoticeKind.RELOCATION
        return TaskState.RELOCATING if relocating else TaskState.PREEMPTING
    if bid.state is BidState.OPEN:
        return TaskState.PREEMPTED if _was_outbid(record) else TaskState.BIDDING
    if allocation is None or not allocation.is_complete:
        return TaskState.STARTING
    return _running(reports)


def _was_outbid(record: TaskRecord) -> bool:
    """Whether a bid that waits was outbid, rather than resumed after a pause or never granted."""
    if record.began_at is None or record.bid_state is BidState.PAUSED:
        return False
    return record.bid_state is not BidState.OPEN or record.preemptions > 0


def _ended(outcome: Outcome) -> TaskState:
    if outcome is Outcome.SUCCEEDED:
        return TaskState.COMPLETED
    return TaskState.CANCELLED if outcome is Outcome.CANCELLED else TaskState.FAILED


def _running(reports: Sequence[RunReport]) -> TaskState:
    started = {RunPhase.RUNNING, RunPhase.EXITED}
    has_begun = any(report.phase in started for report in reports)
    return TaskState.RUNNING if has_begun else TaskState.STARTING
