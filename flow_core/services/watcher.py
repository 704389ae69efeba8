"""Whatever must happen with no command running: one tick looks at every live task and does what is due.

One process per user runs this (see `flow_adapters.watch`); tests and in-memory sessions tick it themselves. A tick may
be killed anywhere and repeated: every step is either idempotent or guarded by the journal. One task's trouble never
holds up another's: it is written into that task's history and met again at the next tick.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from datetime import datetime, timedelta

from attrs import evolve

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
from flow_core.domain.ending import OUTAGE
from flow_core.domain.group import Seats, met_by_group
from flow_core.domain.healing import recovery_at
from flow_core.domain.lifecycle import Seen, deadline_of, decide
from flow_core.domain.node_files import NODE_HELPER
from flow_core.domain.record import Fault, Outcome, Step, TaskRecord
from flow_core.domain.status import TaskState, TaskView
from flow_core.domain.task_parts import Condition, Dependency, Guard
from flow_core.errors import (
    FlowError,
    NoCapacity,
    NodeUnreachable,
    NotFound,
    PriceTooLow,
    Transient,
)
from flow_core.ports.shell import Call, NodeExit
from flow_core.services.costs import Cost, Costs
from flow_core.services.data_buckets import Renewals, forget
from flow_core.services.delivering import deliver
from flow_core.services.guarding import disarm, guard
from flow_core.services.idling import PAUSE as LOOK_EVERY
from flow_core.services.idling import Idling
from flow_core.services.looking import give_back, look
from flow_core.services.placing import WAITS, may_be_doubled, note, place, withdraw_doubles
from flow_core.services.ports import Ports
from flow_core.services.recovering import rebid, recover
from flow_core.services.script_serving import ScriptServing
from flow_core.services.ssh_hosts import publish
from flow_core.services.starting import SOON, Starting

_WORDS = {
    BidState.OPEN: WAITS,
    BidState.ALLOCATED: "nodes were granted",
    BidState.PREEMPTING: "the market gave notice of preemption",
    BidState.RELOCATING: "the provider gave notice of relocation",
    BidState.PAUSED: "the bid was paused",
    BidState.TERMINATED: "the bid has ended",
}

_FAULTS = {BidState.PREEMPTING: Fault.MARKET, BidState.RELOCATING: Fault.PROVIDER}

#: How many tasks that have ended are looked at again for a bid that came late.
_ENDED = 20
#: How soon to look again, in the provider's time, at a task whose bid is not to be seen yet.
UNSETTLED = timedelta(seconds=10)
#: Real seconds for ending what runs on kept nodes; the helper gives it ten before it kills.
STOP_S = 60.0


class Watcher:
    """Drives every live task of one provider."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._costs = Costs(ports)
        self._renewals = Renewals(ports)
        self._idling = Idling(ports)
        self._starting = Starting(ports)
        self._scripts = ScriptServing(ports)
        self._deadlines: list[datetime] = []
        self._is_starting = False
        self._troubles: dict[str, str] = {}

    def tick(self) -> int:
        """Look once at every live task and do what is due; return how many were live.

        Raises:
            NotAuthorized, Transient: the provider as a whole didn't answer; tick again later.
        """
        recent = self._recent()
        records = _live(recent)
        self._deadlines = []
        seats, began = Seats(records), False
        for record in records:
            if _may_begin(record, seats):
                began = True
                self._guarded(record, lambda each: self._start(each, seats))
        if began:
            recent = self._recent()
            records = _live(recent)
        placed = [record for record in records if record.step is Step.PLACED]
        costs = self._costs.of(placed)
        views = look(self._ports, placed)
        self._is_starting = any(view.state is TaskState.STARTING for view in views)
        for view in views:
            self._guarded(
                view.record, lambda record, view=view: self._drive(view, costs[record.token])
            )
        publish(self._ports, views)
        self._scripts.serve(views)
        self._end_doubles(recent)
        return len(records)

    def next_due(self) -> datetime | None:
        """Return the earliest deadline met at the last tick, on the provider's clock; None without one."""
        return min(self._deadlines, default=None)

    @property
    def is_starting(self) -> bool:
        """Whether the last tick saw granted nodes that don't run their command yet, and may need something soon."""
        return self._is_starting

    def _recent(self) -> Sequence[TaskRecord]:
        """Return the live records, and those of late that have ended, newest first."""
        return self._ports.journal.recent(_ENDED, provider=self._ports.provider.name)

    def _end_doubles(self, recent: Sequence[TaskRecord]) -> None:
        """Withdraw what a request that nobody heard of again has placed by now, beside the bid that is known."""
        ports, now = self._ports, self._ports.provider.clock.now()
        young = [record for record in recent if may_be_doubled(record, now)]
        if not young:
            return
        name = young[0].wire_name if len(young) == 1 else None
        named = ports.provider.market.bids(name=name, live=True)
        by_name: dict[str, list[Bid]] = {}
        for bid in named:
            by_name.setdefault(bid.name, []).append(bid)
        for each in young:
            of_name = by_name.get(each.wire_name, ())
            if any(bid.id != each.bid_id for bid in of_name):
                self._guarded(each, lambda record, of=of_name: withdraw_doubles(ports, record, of))

    def _guarded(self, record: TaskRecord, act: object) -> None:
        try:
            act(record)  # type: ignore[operator]
            self._troubles.pop(record.token, None)
        except FlowError as trouble:
            if self._troubles.get(record.token) != trouble.message:
                self._troubles[record.token] = trouble.message
                said = "could not go on for now"
                note(self._ports, record.token, said, trouble.message, _fault_of(trouble))

    def _start(self, record: TaskRecord, seats: Seats) -> None:
        if record.step is Step.HELD:
            record = self._release_held(record, seats)
        if record.step is Step.INTENDED:
            self._deadlines.append(self._ports.provider.clock.now() + UNSETTLED)
            place(self._ports, record.token)

    def _release_held(self, record: TaskRecord, seats: Seats) -> TaskRecord:
        if record.cancel_asked:
            return self._refuse(record, Outcome.CANCELLED, "cancelled before a bid was placed")
        verdicts = [self._met(dependency) for dependency in record.spec.after]
        reasons = [verdict for verdict in verdicts if verdict]
        if reasons:
            return self._refuse(record, Outcome.FAILED, "; ".join(reasons))
        if None in verdicts or not seats.has_one(record):
            return record
        if verdicts:
            note(self._ports, record.token, "everything it waited for has come")
        seats.take(record)
        return self._ports.journal.update(record.token, step=Step.INTENDED)

    def _met(self, dependency: Dependency) -> str | None:
        """Return '' when it is met, a reason when it never will be, None while it is open."""
        try:
            other = self._ports.journal.find(dependency.task)
        except NotFound:
            members = self._ports.journal.members(dependency.task)
            if members:
                return met_by_group(dependency.condition.value, members)
            return f"{dependency.task!r}, which it waits for, is not known"
        if dependency.condition is Condition.BEGUN:
            return "" if other.began_at is not None or other.has_ended else None
        if not other.has_ended:
            return None
        succeeded = other.outcome is Outcome.SUCCEEDED
        wanted = {Condition.OK: succeeded, Condition.NOT_OK: not succeeded, Condition.ANY: True}[
            dependency.condition
        ]
        return (
            ""
            if wanted
            else f"{other.name!r}, which it waits for, ended as {other.outcome.value if other.outcome else '?'}"
        )

    def _refuse(self, record: TaskRecord, outcome: Outcome, reason: str) -> TaskRecord:
        note(self._ports, record.token, "nothing was placed", reason)
        return self._ports.journal.update(
            record.token,
            step=Step.REFUSED,
            outcome=outcome,
            reason=reason,
            ended_at=self._ports.provider.clock.now(),
            released=True,
        )

    def _drive(self, view: TaskView, cost: Cost) -> None:
        record = view.record
        if record.bid_id is not None and view.bid is None and not self._is_forgotten(record):
            self._deadlines.append(self._ports.provider.clock.now() + UNSETTLED)
            return
        if record.spec.reservation is not None and not (record.has_ended or record.cancel_asked):
            from flow_core.services.reserved import launch

            launch(self._ports, view)
        unready = self._starting.lasts(view)
        seen = Seen(
            record=record,
            bid=view.bid,
            allocation=view.allocation or Allocation(bid_id=record.bid_id or ""),
            reports=view.reports,
            now=self._ports.provider.clock.now(),
            held=cost.held,
            spent=cost.spent,
            idle_since=self._idling.since(view),
            unready=unready or timedelta(0),
            undelivered=self._starting.undelivered(record.token),
            can_pause=self._ports.provider.limits.pauses,
        )
        if unready is not None:
            self._deadlines.append(seen.now + SOON)
        if record.spec.idle_timeout is not None and view.allocation is not None:
            self._deadlines.append(seen.now + min(LOOK_EVERY, record.spec.idle_timeout / 4))
        deadline = deadline_of(seen) if not record.has_ended or record.spec.keep else None
        if deadline is not None:
            self._deadlines.append(deadline[0])
        acts_at = recovery_at(record)
        if acts_at is not None:
            self._deadlines.append(acts_at)
        if record.outage_since is not None:
            self._deadlines.append(record.outage_since + OUTAGE)
        for action in decide(seen):
            self._do(action, view, cost)
        if view.allocation is not None:
            self._renewals.renew(record, view.allocation)
            self._guard(view, seen)

    def _guard(self, view: TaskView, seen: Seen) -> None:
        """Have the first node know the lease, unless the task is over and its nodes go."""
        if seen.record.spec.guard is not Guard.NODE:
            return
        record = self._ports.journal.find(seen.record.token)
        if not record.has_ended or (record.spec.keep and not record.released):
            lease = deadline_of(evolve(seen, idle_since=None))
            guard(self._ports, view, lease[0] if lease is not None else None)

    def _is_forgotten(self, record: TaskRecord) -> bool:
        """Whether the provider, asked for the bid itself, doesn't know it; a lagging listing is not that."""
        try:
            self._ports.provider.market.bid(record.bid_id or "")
        except NotFound:
            return self._ports.provider.clock.now() - (
                record.sent_at or record.created_at
            ) >= timedelta(seconds=self._ports.provider.limits.listing_lag_s)
        return False

    def _do(self, action: Action, view: TaskView, cost: Cost) -> None:
        record, journal, now = view.record, self._ports.journal, self._ports.provider.clock.now()
        if isinstance(action, Observe):
            self._observe(action, view, now)
        elif isinstance(action, Settle):
            said = f"the task {action.outcome.value}"
            with journal.together():
                journal.update(
                    record.token,
                    outcome=action.outcome,
                    reason=action.reason,
                    exit_code=action.exit_code,
                    ended_at=now,
                )
                note(self._ports, record.token, said, action.reason, action.fault)
        elif isinstance(action, Withdraw) and record.bid_id is not None:
            if not give_back(self._ports, record):
                return
            note(self._ports, record.token, "the bid was withdrawn", action.reason)
            moves = bool(record.next_region) and not record.cancel_asked
            if not moves and not self._ports.provider.market.bid(record.bid_id).is_live:
                self._release(record)
        elif isinstance(action, Pause) and record.bid_id is not None:
            self._ports.provider.market.amend(record.bid_id, paused=True)
            journal.update(record.token, idle_since=None, last_node="")
            note(self._ports, record.token, "a pause was asked for", action.reason)
        elif isinstance(action, Stop) and view.allocation is not None:
            self._stop(record, view.allocation)
        elif isinstance(action, Release):
            self._release(record)
        elif isinstance(action, Deliver):
            self._deadlines.append(now + SOON)  # to be tried again, should it fail
            self._starting.delivers(record.token, lambda: deliver(self._ports, view, action))
        elif isinstance(action, Recover) and view.bid is not None:
            recover(self._ports, record, view.bid)
            self._deadlines.append(now + record.spec.recovery.after)
        elif isinstance(action, Rebid):
            rebid(self._ports, record)
            self._deadlines.append(now)
        elif isinstance(action, Doubt):
            journal.update(record.token, outage_since=now)
            self._deadlines.append(now + OUTAGE)
            words, fault = action.outage.words, action.outage.fault
            note(self._ports, record.token, "an outage is waited out", words, fault)
        elif isinstance(action, Trust):
            journal.update(record.token, outage_since=None)
            note(self._ports, record.token, "the outage is over", action.why)
        elif isinstance(action, Retry):
            journal.update(record.token, retried=action.retried)
            note(self._ports, record.token, action.what, action.why, action.fault)

    def _stop(self, record: TaskRecord, allocation: Allocation) -> None:
        """End the commands on kept nodes; a node that can't be told is told at the next tick."""
        calls = [
            Call(node=node, line=f"{NODE_HELPER} stop")
            for node in allocation.nodes
            if node.is_reachable
        ]
        with closing(self._ports.provider.shell.run_many(calls, timeout_s=STOP_S)) as events:
            stopped = sum(isinstance(event, NodeExit) and event.code == 0 for event in events)
        if stopped:
            note(self._ports, record.token, f"what still ran on its {stopped} nodes was ended")

    def _release(self, record: TaskRecord) -> None:
        self._deadlines.append(self._ports.provider.clock.now() + UNSETTLED)
        disarm(self._ports, record)
        final = self._costs.of([record])[record.token]
        self._ports.journal.update(record.token, released=True, spent=final.spent)
        self._ports.vault.forget(record.token)
        forget(self._ports, record)

    def _observe(self, action: Observe, view: TaskView, now: datetime) -> None:
        record, ports = view.record, self._ports
        changes: dict[str, object] = {"bid_state": action.state}
        if action.state is BidState.ALLOCATED and record.began_at is None:
            changes["began_at"] = now
            if not may_be_doubled(record, now):  # else this very tick ends with a look at all
                named = ports.provider.market.bids(name=record.wire_name)
                withdraw_doubles(ports, record, named)
        had_nodes = record.began_at is not None and record.bid_state not in (None, BidState.PAUSED)
        if action.state is BidState.OPEN and had_nodes:
            changes.update(preemptions=record.preemptions + 1, preempted_at=now, recovered_at=None)
        elif action.state is BidState.ALLOCATED:
            changes.update(preempted_at=None, recovered_at=None)
        with ports.journal.together():
            ports.journal.update(record.token, **changes)
            if action.state is BidState.OPEN and record.bid_state is BidState.ALLOCATED:
                said, why = "the market took the nodes", "its notice was not seen from here"
                note(ports, record.token, said, why, Fault.MARKET)
            note(ports, record.token, _WORDS[action.state], fault=_FAULTS.get(action.state))


def _live(recent: Sequence[TaskRecord]) -> list[TaskRecord]:
    """Return those that are live, oldest first."""
    return [record for record in reversed(recent) if record.is_live]


def _may_begin(record: TaskRecord, seats: Seats) -> bool:
    """Whether there is anything to do for a record before it has a bid: most of a large group only wait for a seat."""
    if record.step is Step.HELD:
        return record.cancel_asked or bool(record.spec.after) or seats.has_one(record)
    return record.step is Step.INTENDED


def _fault_of(trouble: FlowError) -> Fault:
    """Return whose doing it is that the watcher could not go on."""
    if isinstance(trouble, Transient):
        return Fault.PROVIDER
    if isinstance(trouble, NodeUnreachable):
        return Fault.NETWORK
    return Fault.MARKET if isinstance(trouble, (NoCapacity, PriceTooLow)) else Fault.MISTAKE
