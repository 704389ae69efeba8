"""When a task's command has ended, as far as its nodes' words can be believed: see `lifecycle` for the rules.

A file of its own, for whoever only looks needs no more of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from flow_core.domain.allocation import Allocation
from flow_core.domain.bid import Bid, BidState
from flow_core.domain.healing import outage_of
from flow_core.domain.record import TaskRecord
from flow_core.domain.run import RunPhase, RunReport
from flow_core.domain.task_parts import RunOn

#: How long a node that is missing is waited for, in the provider's time, before its fellows' failure is believed.
OUTAGE = timedelta(minutes=15)
#: How long, in real time, nodes are held that never were all there and answered. Mithril asks to be told of a start
#: that takes over 20 minutes. Source: contract section 3.
UNREADY = timedelta(minutes=30)


def exit_of(
    spec_run_on: RunOn, reports: Sequence[RunReport], nodes: int
) -> tuple[int, RunReport] | None:
    """Return the task's exit code and the report it comes from, or None while it hasn't ended.

    The first failure in time is the task's; ranks break ties. One that a fellow's failure ended is no first one,
    whatever the nodes' clocks say.
    """
    counted = [report for report in reports if spec_run_on is RunOn.EVERY_NODE or report.rank == 0]
    ended = [
        report
        for report in counted
        if report.phase is RunPhase.EXITED and report.exit_code is not None
    ]
    failed = [report for report in ended if report.exit_code != 0]
    if failed:
        first = min(
            failed, key=lambda each: (each.ended_for_fellow, _instant(each.ended_at), each.rank)
        )
        return first.exit_code or 1, first
    expected = nodes if spec_run_on is RunOn.EVERY_NODE else 1
    if len(ended) >= expected:
        return 0, ended[0]
    return None


def end_of(
    record: TaskRecord,
    bid: Bid | None,
    allocation: Allocation | None,
    reports: Sequence[RunReport],
    now: datetime | None = None,
) -> tuple[int, RunReport] | None:
    """Return the exit code that ends the task and the report it comes from; None while there is none to believe."""
    spec = record.spec
    finished = exit_of(spec.run_on, reports, spec.num_instances)
    if finished is None or finished[0] == 0 or spec.num_instances == 1:
        return finished
    if outage_of(bid, allocation, reports) is None:
        return finished
    return finished if is_held(bid, allocation) and has_lasted(record, now) else None


def is_held(bid: Bid | None, allocation: Allocation | None) -> bool:
    """Whether the bid has its nodes and keeps them, as far as the market goes: an outage now is somebody else's."""
    noticed = allocation is not None and allocation.notice is not None
    return bid is not None and bid.state is BidState.ALLOCATED and not noticed


def has_lasted(record: TaskRecord, now: datetime | None) -> bool:
    """Whether the outage of a task has lasted for `OUTAGE` at `now`."""
    since = record.outage_since
    return since is not None and now is not None and now - since >= OUTAGE


def _instant(at: datetime | None) -> float:
    return float("inf") if at is None else at.timestamp()
