"""What has to be done about a task now: a pure function from what is known to a list of actions.

The watcher, and nobody else, carries the actions out; each may be repeated. The rules, in order of rank:

1. A task that was cancelled, or whose bid someone else ended, ends.
2. A command that has ended ends the task: all nodes with 0 is success; the first node to fail fails it.
3. A task past its time or its money ends, and one whose nodes have had nothing to do for as long as it allows; a dev
   box is paused then, where the provider can. So does one whose nodes were held for `UNREADY` without ever being there
   and answering.
4. A bid that outlived its task is withdrawn, a kept one at the same limits; once it is gone the record is released.
   What still runs on kept nodes, as the fellows of a rank that failed do, is ended.
5. A node that waits for a membership gets one when all its fellows are up.

A run that the node's own stop cut short (INTERRUPTED) is no end: the market took the node, and the node script will
run the command again. Neither is a failure among fellows one of whom is going, gone, silent or starting over: losing a
fellow makes the others fail, and that is the node's outage, not the program's. All begin anew together, with the next
membership. Only when the bid has been granted and the outage has lasted for `OUTAGE` all the same is the failure
believed. A node that stays lost for as long, with nobody left who runs, ends the task too: it could but cost money.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from attrs import evolve, frozen

from flow_core.domain.actions import (
    Action,
    Deliver,
    Doubt,
    Observe,
    Pause,
    Rebid,
    Recover,
    Release,
    Retry,
    Settle,
    Stop,
    Trust,
    Withdraw,
)
from flow_core.domain.allocation import Allocation
from flow_core.domain.bid import Bid, BidState
from flow_core.domain.box import is_box
from flow_core.domain.budget import lease_ends
from flow_core.domain.duration import format_duration
from flow_core.domain.ending import UNREADY, end_of, exit_of, has_lasted, is_held
from flow_core.domain.healing import (
    Outage,
    is_stranded,
    outage_of,
    recovery_is_due,
    unready_of,
)
from flow_core.domain.money import Spend
from flow_core.domain.record import Fault, Outcome, TaskRecord
from flow_core.domain.run import RunPhase, RunReport

#: Exit codes for what could not be run: the set-up's, and the shell's for no permission and no such command.
MISTAKES = (125, 126, 127)


@frozen(kw_only=True)
class Seen:
    """What is known of one placed task at `now`, the provider's time.

    `bid` is None only when the provider no longer knows it. `held` is how long it has held paid nodes so far,
    `idle_since` since when all of them have had nothing to do, `unready` for how long they have been held in vain, and
    `undelivered` for how long they have been told their code and membership in vain.
    """

    record: TaskRecord
    bid: Bid | None
    allocation: Allocation
    reports: tuple[RunReport, ...]
    now: datetime
    held: timedelta = timedelta(0)
    spent: Spend = Spend.ZERO
    idle_since: datetime | None = None
    unready: timedelta = timedelta(0)
    undelivered: timedelta = timedelta(0)
    #: Whether the provider can pause a bid.
    can_pause: bool = False


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
        actions += _closing(seen, end)
        return actions
    overdue = _overdue(seen)
    if overdue is not None:  # and no end: a box that nobody uses
        return [*actions, Pause(overdue[1])]
    if retry := _retry(seen):
        actions.append(retry)
    outage = _waited_out(seen)
    if (outage is None) != (record.outage_since is None):
        actions.append(Doubt(outage) if outage is not None else _trust(seen))
    if delivery := _delivery(seen):
        actions.append(delivery)
    if recovery_is_due(record, bid, seen.now):
        actions.append(Recover())
    return actions


def _failed_among(seen: Seen) -> bool:
    """Whether one of several nodes has failed, for which another may be the reason."""
    spec = seen.record.spec
    finished = exit_of(spec.run_on, seen.reports, spec.num_instances)
    return finished is not None and finished[0] != 0 and spec.num_instances > 1


def _waited_out(seen: Seen) -> Outage | None:
    """Return the outage that is waited out, for `OUTAGE` at most: somebody failed for it, or nobody runs for it."""
    if not is_held(seen.bid, seen.allocation):
        return None
    if _failed_among(seen) or is_stranded(seen.record.spec, seen.allocation, seen.reports):
        return outage_of(seen.bid, seen.allocation, seen.reports)
    return None


def _trust(seen: Seen) -> Trust:
    if is_held(seen.bid, seen.allocation):
        return Trust()
    outage = outage_of(seen.bid, seen.allocation, seen.reports)
    return Trust(outage.words if outage is not None else "")


def _retry(seen: Seen) -> Retry | None:
    """Return the newest try that a failure used up, or None where nothing has failed since."""
    last = max(seen.reports, key=lambda each: each.retried, default=None)
    if last is None or last.retried <= seen.record.retried:
        return None
    missing = outage_of(
        seen.bid, seen.allocation, [evolve(each, phase=RunPhase.RUNNING) for each in seen.reports]
    )
    where = f" on node {last.rank}" if seen.record.spec.num_instances > 1 else ""
    said = last.waiting_for if last.waiting_for.startswith("ended") else ""
    return Retry(
        last.retried,
        f"the command failed{where} and is tried again",
        "; ".join(each for each in (said, missing.words if missing is not None else "") if each),
        missing.fault if missing is not None else Fault.PROGRAM,
    )


def deadline_of(seen: Seen) -> tuple[datetime, Outcome] | None:
    """Return when the task must end for lack of time, money or anything to do; None without such a limit."""
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
    if spec.idle_timeout is not None and seen.idle_since is not None:
        found.append((seen.idle_since + spec.idle_timeout, Outcome.IDLE))
    return min(found, key=lambda each: each[0]) if found else None


def _end(seen: Seen) -> Settle | None:
    record, bid = seen.record, seen.bid
    finished = end_of(record, bid, seen.allocation, seen.reports, seen.now)
    if finished is not None:
        code, report = finished
        if code == 0:
            return Settle(Outcome.SUCCEEDED, "the command ended with 0", 0)
        return _failed(seen, code, report)
    if record.cancel_asked:
        return Settle(Outcome.CANCELLED, "cancelled", None)
    if bid is None or bid.state is BidState.TERMINATED:
        told = bid.detail if bid is not None else ""
        words = (
            f"its bid has ended: {told}" if told else "its bid was ended, and not by this machine"
        )
        ran_out = bid is not None and bid.ran_out
        return Settle(Outcome.TIMED_OUT if ran_out else Outcome.VANISHED, words, None)
    outage = _waited_out(seen)
    if outage is not None and has_lasted(record, seen.now):
        return Settle(Outcome.FAILED, f"{outage.words}, for too long", None, outage.fault)
    overdue = _overdue(seen)
    if overdue is not None:
        pauses = overdue[0] is Outcome.IDLE and seen.can_pause and is_box(record.spec)
        return None if pauses else Settle(*overdue, None)
    unready = unready_of(record, bid, seen.allocation, seen.reports)
    if unready is not None and seen.unready >= UNREADY:
        words = f"{unready.words}, {format_duration(UNREADY)} after its nodes were granted"
        return Settle(Outcome.FAILED, words, None, unready.fault)
    if seen.undelivered >= UNREADY and any(report.wants_delivery for report in seen.reports):
        words = f"its code and membership could not be delivered for {format_duration(UNREADY)}"
        return Settle(Outcome.FAILED, words, None, Fault.NETWORK)
    return None


def _overdue(seen: Seen) -> tuple[Outcome, str] | None:
    """Return which of its limits the task has reached, and in words; None while there is time."""
    deadline, spec = deadline_of(seen), seen.record.spec
    if deadline is None or deadline[0] > seen.now:
        return None
    if deadline[1] is Outcome.TIMED_OUT:
        why = f"it has held its nodes for {spec.max_run_time}, its max_run_time"
    elif deadline[1] is Outcome.IDLE:
        why = f"its nodes have had nothing to do for {spec.idle_timeout}, its idle_timeout"
    else:
        why = f"{spec.max_spend} could be passed next; {seen.spent} is spent"
    return deadline[1], why


def _failed(seen: Seen, code: int, report: RunReport) -> Settle:
    where = f" on node {report.rank}" if seen.record.spec.num_instances > 1 else ""
    if report.ended_for_fellow:  # which itself can't be asked any more
        words = f"the command{where} was {report.reason}"
        return Settle(Outcome.FAILED, words, code, Fault.PROGRAM)
    if report.reason:
        words = f"the command could not be run{where}: {report.reason}"
        return Settle(Outcome.FAILED, words, code, Fault.MISTAKE)
    tries = f", after {report.retried + 1} tries" if report.retried else ""
    outage = _waited_out(seen)
    blame = f"; {outage.words}, for too long" if outage is not None else ""
    words = f"the command ended with {code}{where}{tries}{blame}"
    if outage is not None:
        return Settle(Outcome.FAILED, words, code, outage.fault)
    fault = Fault.MISTAKE if code in MISTAKES else Fault.PROGRAM
    return Settle(Outcome.FAILED, words, code, fault)


def _closing(seen: Seen, end: Settle | None) -> list[Action]:
    record, bid = seen.record, seen.bid
    if bid is None or bid.state is BidState.TERMINATED:
        return [] if record.released else [Release()]
    if not record.spec.keep or record.cancel_asked or _never_began(record, end):
        return [Withdraw("the task has ended")]
    overdue = _overdue(seen)
    if overdue is not None:
        return [Withdraw(overdue[1])]
    going = {RunPhase.WAITING, RunPhase.RUNNING}
    return [Stop()] if any(each.phase in going for each in seen.reports) else []


def _never_began(record: TaskRecord, end: Settle | None) -> bool:
    """Whether a task failed without a command to have failed; a kept one's nodes are then of no use."""
    outcome, code = (
        (record.outcome, record.exit_code) if end is None else (end.outcome, end.exit_code)
    )
    return outcome is Outcome.FAILED and code is None


def _delivery(seen: Seen) -> Deliver | None:
    record, allocation = seen.record, seen.allocation
    if seen.bid is None or not allocation.is_complete or len(seen.reports) < len(allocation.nodes):
        return None
    wanted = any(report.wants_delivery for report in seen.reports)
    settled = all(
        report.wants_delivery or report.phase is not RunPhase.INTERRUPTED for report in seen.reports
    )
    if not (wanted and settled):
        return None
    # A client that died before it wrote its number down may have given nodes a newer one.
    newest = max(record.membership, *(int(report.membership) for report in seen.reports))
    return Deliver(
        newest + 1,
        allocation.signature,
        max(record.retried, *(report.retried for report in seen.reports)),
    )
