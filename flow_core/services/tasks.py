"""Tasks, from plan to end: the verbs behind `flow submit`, `status`, `logs`, `cancel` and `flow.run`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from flow_core.domain.names import split_wire_name
from flow_core.domain.record import Outcome, Step, TaskEvent, TaskRecord
from flow_core.errors import Transient, WaitTimedOut
from flow_core.services.log_reading import read, stream
from flow_core.services.looking import RECENT, give_back, look
from flow_core.services.polling import intervals

if TYPE_CHECKING:
    from flow_core.domain.bid import Bid, Quote
    from flow_core.domain.placement import Plan
    from flow_core.domain.run import LogChunk
    from flow_core.domain.status import TaskView
    from flow_core.domain.task import TaskSpec
    from flow_core.domain.waiting import Waiting
    from flow_core.services.ports import Ports

#: How long, in real time, whoever waits for a task leaves its new nodes alone: at most, and once they have all that the
#: command needs, for each of the first few. Many a command is over by then, and the watcher has its word.
SILENT, SHORT, FEW = timedelta(seconds=1), timedelta(seconds=0.25), 4
#: How young a task is, in the provider's time, whose nodes have that respite though they never lacked anything.
NEW = timedelta(seconds=10)
#: How often, in real seconds, the journal is asked meanwhile whether the task's record has changed: not more often than
#: so, nor so many times between two looks.
GLANCE_S, GLANCES = 0.05, 5
#: Real seconds to leave a provider alone that didn't answer, unless it says.
SILENCE_S = 2.0


@frozen(kw_only=True)
class Progress:
    """One look at a task that is being waited for; `waiting` is None once it runs or has ended."""

    view: TaskView
    waiting: Waiting | None
    elapsed: timedelta


class Tasks:
    """What users do with tasks."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    def plan(self, spec: TaskSpec) -> Plan:
        """Return where `spec` would be bid, for how much, and why; nothing is placed or written.

        Raises:
            InvalidRequest: the provider can't serve something in the spec; all problems at once.
            NotFound: it waits for a task that nobody knows.
            NoCapacity, PriceTooLow: see `placement.choose`.
        """
        from flow_core.services.submitting import planned

        return planned(self._ports, spec)

    def submit(
        self, spec: TaskSpec, *, plan: Plan | None = None, heir_of: TaskRecord | None = None
    ) -> TaskRecord:
        """Journal the task, start the watcher, place its bid; return the record, PLACED or HELD.

        Nothing stays behind when it raises before the bid was sent. After `Transient` the task stays intended: the
        watcher places it, or adopts what was placed. An heir has the code and the secrets of another task, as they
        were given to that one, and is left to the watcher at once.

        Raises:
            NameTaken: a live task has this name.
            InvalidRequest: a secret is not where it should be.
            FlowError: whatever `plan` and the provider raise.
        """
        from flow_core.services.submitting import submitted

        return submitted(self._ports, spec, plan=plan, heir_of=heir_of)

    def view(self, name: str) -> TaskView:
        """Return what is known of one task now.

        Raises:
            NotFound: no task has that name.
        """
        return look(self._ports, [self.record(name)])[0]

    def views(self, *, ended: int = 10) -> list[TaskView]:
        """Return all live tasks and the `ended` that ended last, newest first; nodes as the watcher saw them last."""
        records = self._ports.journal.recent(ended, provider=self._ports.provider.name)
        return look(self._ports, records, within=RECENT)

    def elsewhere(self) -> list[tuple[str, Bid]]:
        """Return the live bids that this machine's journal doesn't know, by the name their submitter gave them.

        They were placed from another machine, or by another program (then the name is the bid's own). They are only
        ever shown.
        """
        known = {record.token for record in self._ports.journal.live()}
        found = []
        for bid in self._ports.provider.market.bids(live=True):
            name, token = split_wire_name(bid.name) or (bid.name, "")
            if token not in known:
                found.append((name, bid))
        return found

    def record(self, name: str) -> TaskRecord:
        """Return a task's record by name or token.

        Raises:
            NotFound: no task of this provider has that name.
        """
        return self._ports.journal.find(name, provider=self._ports.provider.name)

    def history(self, name: str) -> Sequence[TaskEvent]:
        """Return what happened to a task and why, oldest first."""
        return self._ports.journal.events(self.record(name).token)

    def quote(self, record: TaskRecord) -> Quote | None:
        """Return what the task's market says now, or None where it isn't offered any more."""
        from flow_core.services.placing import options_for

        provider = self._ports.provider
        market = provider.market_for(options_for(record.spec, provider))
        quotes = market.quotes(record.spec.instance_type)
        return next(
            (
                each
                for each in quotes
                if (each.type_id, each.region) == (record.type_id, record.region)
            ),
            None,
        )

    def waits_for(self, view: TaskView) -> Waiting | None:
        """Return what the task waits for, in words; None when it runs or has ended."""
        from flow_core.domain.status import TaskState
        from flow_core.domain.waiting import waiting

        depends = view.state in (TaskState.BIDDING, TaskState.PREEMPTED)
        quote = self.quote(view.record) if depends else None
        return waiting(view, quote, self._ports.provider.clock.now())

    def follow(self, name: str, *, timeout_s: float | None = None) -> Iterator[Progress]:
        """Yield look after look until the task has ended and nothing of it costs money, or is kept on purpose.

        Looks come fast at first, then as often as the provider finds worth it, and when the watcher has written
        something of the task down; the caller may stop any time.

        Raises:
            WaitTimedOut: `timeout_s` real seconds passed; the message says what was waited for.
        """
        from flow_core.domain.status import TaskView

        ports = self._ports
        started = ports.clock.now()
        view = TaskView(record=self.record(name))
        waits, seen = intervals(ports.provider.limits.poll_s), ""
        hearing = _Hearing(ports)
        while True:
            view, reason, rest = self._glance(view, hearing)
            elapsed = ports.clock.now() - started
            yield Progress(view=view, waiting=reason, elapsed=elapsed)
            if view.state.is_final and (view.record.released or view.record.spec.keep):
                return
            what = reason.what if reason else f"it is {view.state}"
            if timeout_s is not None and elapsed.total_seconds() >= timeout_s:
                raise WaitTimedOut(
                    f"{view.record.name!r} had not ended after {timeout_s:g} s: {what}"
                )
            ports.watch.ensure()
            sign = f"{reason.until}" if reason and reason.until else what
            if sign != seen:  # something moves, so more may follow soon
                waits, seen = intervals(ports.provider.limits.poll_s), sign
            left = timeout_s - elapsed.total_seconds() if timeout_s is not None else float("inf")
            self._rest(view.record, min(max(next(waits), rest), max(left, 0.0)))

    def wait(self, name: str, *, timeout_s: float | None = None) -> TaskView:
        """Return the task's view once it has ended; see `follow`."""
        return deque(self.follow(name, timeout_s=timeout_s), maxlen=1).pop().view

    def log(self, name: str, rank: int, *, offset: int = 0, limit: int = 1 << 20) -> LogChunk:
        """Return a stretch of one node's log; see `ports.logs.Logs.read`. Empty before the nodes have spoken."""
        return read(self._ports, self.record(name), rank, offset=offset, limit=limit)

    def logs(
        self,
        name: str,
        *,
        ranks: Collection[int] | None = None,
        follow: bool = False,
        tail: int | None = None,
        when_quiet: Callable[[], None] | None = None,
    ) -> Iterator[LogChunk]:
        """Yield the logs of a task's nodes, all or those of `ranks`, the last `tail` lines of each if given.

        Chunks of one rank are whole and in order; ranks take turns. With `follow`, goes on until each log's end, and
        `when_quiet` is called, once, when there first is nothing to read.
        """
        return stream(
            self._ports,
            self.record(name),
            ranks=ranks,
            follow=follow,
            tail=tail,
            when_quiet=when_quiet,
        )

    def cancel(self, name: str) -> TaskRecord:
        """End a task and its cost; return its record. Cancelling what has ended and is released changes nothing.

        Returns once the provider has taken the withdrawal in; when it doesn't answer, the watcher goes on trying.
        """
        from flow_core.services.placing import note

        ports = self._ports
        record = self.record(name)
        if not record.is_live:
            return record
        ports.watch.ensure()
        record = ports.journal.update(record.token, cancel_asked=True)
        give_back(ports, record)
        if not record.has_ended and record.step is not Step.INTENDED:
            now = ports.provider.clock.now()
            record = ports.journal.update(
                record.token, outcome=Outcome.CANCELLED, reason="cancelled", ended_at=now
            )
            note(ports, record.token, "cancelled")
        return record

    def _rest(self, record: TaskRecord, seconds: float) -> None:
        """Let so much real time pass, or less where the record changes meanwhile; others' changes wake nobody."""
        journal, clock = self._ports.journal, self._ports.clock
        until = clock.now() + timedelta(seconds=seconds)
        seen = journal.changes()
        while (left := (until - clock.now()).total_seconds()) > 0:
            clock.sleep(min(max(GLANCE_S, seconds / GLANCES), left))
            changes = journal.changes()
            if changes != seen and journal.find(record.token) != record:
                return
            seen = changes

    def _glance(self, last: TaskView, hearing: _Hearing) -> tuple[TaskView, Waiting | None, float]:
        """Return a new view, what it waits for, and how many real seconds to rest at least before the next.

        A provider that doesn't answer leaves the last view standing, and is what is waited for.
        """
        from flow_core.domain.waiting import Waiting

        ports = self._ports
        record = ports.journal.find(last.record.token)
        try:
            view = look(ports, [record], asks_nodes=hearing.is_worth_it(record))[0]
            reason = self.waits_for(view)
        except Transient as silence:
            now = ports.provider.clock.now()
            what = f"{silence.message}; the task goes on meanwhile"
            waits = Waiting(what=what, since=now, then="looking again")
            return evolve(last, record=record), waits, silence.retry_after_s or SILENCE_S
        trouble = ports.watch.trouble()
        if trouble is not None and not view.state.is_final:
            since = reason.since if reason is not None else record.created_at
            reason = Waiting(what=f"the watcher can't work: {trouble}", since=since)
        return view, reason, 0.0


class _Hearing:
    """Knows whether the nodes of a task that is waited for can have a word for us yet.

    One that lacks what only the watcher brings has none. Asking it all the same costs it, and the watcher's own
    asking, time: into a container each comes by a process of its own.
    """

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        #: Since when there have been nodes that lack something, and when they were first seen to lack nothing more.
        self._lacking: datetime | None = None
        self._whole: datetime | None = None

    def is_worth_it(self, record: TaskRecord) -> bool:
        """Whether to ask the nodes now."""
        from flow_core.services.placing import wants_delivery

        provider, now = self._ports.provider, self._ports.clock.now()
        rides = provider.limits.images_by_kit
        if record.membership == 0 and wants_delivery(record.spec, provider, code_rides=rides):
            if record.began_at is not None:
                self._lacking = self._lacking or now
            return self._lacking is not None and now - self._lacking >= SILENT
        self._whole = self._whole or now
        is_new = provider.clock.now() - record.created_at < NEW
        enough = SHORT * min(record.spec.num_instances, FEW)
        return (self._lacking is None and not is_new) or now - self._whole >= enough
