"""What has to be done about a task now: a pure function from what is known to a list of actions.

The watcher, and nobody else, carries the actions out; each may be repeated. The rules, in order of rank:

1. A task that was cancelled, or whose bid someone else ended, ends.
2. A command that has ended ends the task: all nodes with 0 is success; the first node to fail fails it.
3. A task past its time or its money ends.
4. A bid that outlived its task, and is not to be kept, is withdrawn; once it is gone the record is released.
5. A node that waits for a membership gets one when all its fellows are up.

A run that the node's own stop cut short (INTERRUPTED) is no end: the market took the node, and the node script will
run the command again. Neither is a failure among fellows one of whom is going, gone, silent or starting over: losing a
fellow makes the others fail, and that is the node's outage, not the program's. All begin anew together, with the next
membership. Only when the outage has lasted for `OUTAGE` is the failure believed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from attrs import frozen

from flow_core.domain.allocation import Allocation
from flow_core.domain.bid import Bid, BidState
from flow_core.domain.budget import lease_ends
from flow_core.domain.healing import recovery_is_due
from flow_core.domain.money import Spend
from flow_core.domain.record import Outcome, TaskRecord
from flow_core.domain.run import RunPhase, RunReport
from flow_core.domain.task_parts import RunOn


@frozen
class Settle:
    """Write down how the task ended."""

    outcome: Outcome
    reason: str
    exit_code: int | None = None


@frozen
class Withdraw:
    """End the bid, so that the cost ends."""

    reason: str


@frozen
class Release:
    """Write down that nothing of the task can cost money any more."""


@frozen
class Deliver:
    """Bring code, variables and membership `number` to every node; `retried` counts the tries they used up so far."""

    number: int
    signature: str
    retried: int = 0


@frozen
class Doubt:
    """Write down since when a failure is put down to an outage, and what the outage is."""

    outage: str


@frozen
class Trust:
    """Write down that the outage is over."""


@frozen
class Observe:
    """Write down that the bid moved to another state."""

    state: BidState


@frozen
class Recover:
    """Do what the task's recovery says, for it has waited in vain."""


@frozen
class Rebid:
    """Bid anew where the task moves to: its old bid is gone."""


Action = Recover | Rebid | Settle | Withdraw | Release | Deliver | Observe | Doubt | Trust

#: How long a failure among fellows is put down to one that is missing, in the provider's time.
OUTAGE = timedelta(minutes=15)


@frozen(kw_only=True)
class Seen:
    """What is known of one placed task at `now`, the provider's time.

    `bid` is None only when the provider no longer knows it. `held` is how long it has held paid nodes so far.
    """

    record: TaskRecord
    bid: Bid | None
    allocation: Allocation
    reports: tuple[RunReport, ...]
    now: datetime
    held: timedelta = timedelta(0)
    spent: Spend = Spend.ZERO


def decide(seen: Seen) -> list[Action]:
    """Return what has to be done, in order; empty when there is nothing to do."""
    record, bid = seen.record, seen.bid
    actions: list[Action] = []
    if bid is not None and bid.state is not record.bid_state:
        actions.append(Observe(bid.state))
    if record.next_region and not record.has_ended and not record.cancel_asked:
        gone = bid is None or bid.state is BidState.TERMINATED
        return [*actions, Rebid() if gone else Withdraw(f"it moves to {record.next_region}")]
    end = None if record.has_ended else _end(seen)
    if end is not None:
        actions.append(end)
    if record.has_ended or end is not None:
        actions += _closing(seen)
        return actions
    outage = _doubted(seen)
    if bool(outage) != (record.outage_since is not None):
        actions.append(Doubt(outage) if outage else Trust())
    if delivery := _delivery(seen):
        actions.append(delivery)
    if recovery_is_due(record, bid, seen.now):
        actions.append(Recover())
    return actions


def exit_of(
    spec_run_on: RunOn, reports: Sequence[RunReport], nodes: int
) -> tuple[int, RunReport] | None:
    """Return the task's exit code and the report it comes from, or None while it hasn't ended.

    The first failure in time is the task's; ranks break ties.
    """
    counted = [report for report in reports if spec_run_on is RunOn.EVERY_NODE or report.rank == 0]
    ended = [
        report
        for report in counted
        if report.phase is RunPhase.EXITED and report.exit_code is not None
    ]
    failed = [report for report in ended if report.exit_code != 0]
    if failed:
        first = min(failed, key=lambda each: (_instant(each.ended_at), each.rank))
        return first.exit_code or 1, first
    expected = nodes if spec_run_on is RunOn.EVERY_NODE else 1
    if len(ended) >= expected:
        return 0, ended[0]
    return None


def outage_of(bid: Bid | None, allocation: Allocation | None, reports: Sequence[RunReport]) -> str:
    """Return what keeps a task's nodes from being all there, in words; empty when nothing does."""
    if bid is not None and bid.state is not BidState.ALLOCATED:
        return f"the bid is {bid.state.value}"
    nodes = allocation.nodes if allocation is not None else ()
    if allocation is not None and allocation.notice is not None:
        return f"the nodes were given notice of {allocation.notice.kind.value}"
    spoken = {report.rank: report for report in reports}
    for node in nodes:
        report = spoken.get(node.rank)
        if not node.is_reachable:
            return f"node {node.rank} is {node.state.value}"
        if report is None:
            return f"node {node.rank} does not answer"
        if report.phase is RunPhase.INTERRUPTED or report.phase is RunPhase.WAITING:
            return f"node {node.rank} is starting over"
    return ""


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
    if not outage_of(bid, allocation, reports):
        return finished
    since = record.outage_since
    has_lasted = since is not None and now is not None and now - since >= OUTAGE
    return finished if has_lasted else None


def _doubted(seen: Seen) -> str:
    """Return the outage that a failure is put down to; empty where nothing has failed or nothing is amiss."""
    spec = seen.record.spec
    finished = exit_of(spec.run_on, seen.reports, spec.num_instances)
    if finished is None or finished[0] == 0 or spec.num_instances == 1:
        return ""
    return outage_of(seen.bid, seen.allocation, seen.reports)


def _instant(at: datetime | None) -> float:
    return float("inf") if at is None else at.timestamp()


def deadline_of(seen: Seen) -> tuple[datetime, Outcome] | None:
    """Return when the task must end for lack of time or money, whichever comes first; None without such a limit."""
    spec, holding = seen.record.spec, bool(seen.allocation.nodes) and seen.bid is not None
    found: list[tuple[datetime, Outcome]] = []
    if not holding:
        return None
    if spec.max_run_time is not None:
        found.append((seen.now + spec.max_run_time - seen.held, Outcome.TIMED_OUT))
    if spec.max_spend is not None:
        ends = lease_ends(
            spec.max_spend,
            seen.spent,
            limit=seen.record.limit,
            nodes=spec.num_instances,
            now=seen.now,
        )
        found.append((ends, Outcome.OVER_BUDGET))
    return min(found, key=lambda each: each[0]) if found else None


def _end(seen: Seen) -> Settle | None:
    record, bid = seen.record, seen.bid
    spec = record.spec
    finished = end_of(record, bid, seen.allocation, seen.reports, seen.now)
    if finished is not None:
        code, report = finished
        if code == 0:
            return Settle(Outcome.SUCCEEDED, "the command ended with 0", 0)
        return Settle(Outcome.FAILED, _failure(seen, code, report), code)
    if record.cancel_asked:
        return Settle(Outcome.CANCELLED, "cancelled", None)
    if bid is None or bid.state is BidState.TERMINATED:
        return Settle(Outcome.VANISHED, "its bid was ended, and not by this machine", None)
    deadline = deadline_of(seen)
    if deadline is not None and deadline[0] <= seen.now:
        if deadline[1] is Outcome.TIMED_OUT:
            return Settle(
                Outcome.TIMED_OUT,
                f"it has held its nodes for {spec.max_run_time}, its max_run_time",
                None,
            )
        return Settle(
            Outcome.OVER_BUDGET,
            f"{spec.max_spend} could be passed next; {seen.spent} is spent",
            None,
        )
    return None


def _failure(seen: Seen, code: int, report: RunReport) -> str:
    where = f" on node {report.rank}" if seen.record.spec.num_instances > 1 else ""
    if report.reason:
        return f"the command could not be run{where}: {report.reason}"
    tries = f", after {report.retried + 1} tries" if report.retried else ""
    outage = _doubted(seen)
    blame = f"; {outage}, for too long" if outage else ""
    return f"the command ended with {code}{where}{tries}{blame}"


def _closing(seen: Seen) -> list[Action]:
    record, bid = seen.record, seen.bid
    if bid is None or bid.state is BidState.TERMINATED:
        return [] if record.released else [Release()]
    if record.spec.keep and not record.cancel_asked:
        return []
    return [Withdraw("the task has ended")]


def _delivery(seen: Seen) -> Deliver | None:
    allocation = seen.allocation
    if seen.bid is None or not allocation.is_complete or len(seen.reports) < len(allocation.nodes):
        return None
    wanted = any(report.wants_delivery for report in seen.reports)
    settled = all(
        report.wants_delivery or report.phase is not RunPhase.INTERRUPTED for report in seen.reports
    )
    if not (wanted and settled):
        return None
    return Deliver(
        seen.record.membership + 1,
        allocation.signature,
        max(report.retried for report in seen.reports),
    )
