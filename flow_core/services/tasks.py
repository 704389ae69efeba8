"""Tasks, from plan to end: the verbs behind `flow submit`, `status`, `logs`, `cancel` and `flow.run`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import timedelta

from attrs import evolve, frozen

from flow_core.domain.bid import Bid, Quote
from flow_core.domain.images import missing_interpreter
from flow_core.domain.names import new_token, readable_name, split_wire_name
from flow_core.domain.placement import Plan, choose
from flow_core.domain.record import Outcome, Step, TaskEvent, TaskRecord
from flow_core.domain.run import LogChunk
from flow_core.domain.status import TaskState, TaskView
from flow_core.domain.task import TaskSpec
from flow_core.domain.task_parts import Mount, Recover, Source
from flow_core.domain.waiting import Waiting, waiting
from flow_core.errors import InvalidRequest, NameTaken, NoCapacity, Transient, WaitTimedOut
from flow_core.services.data_buckets import hand_over, planned_buckets
from flow_core.services.data_volumes import (
    planned_volumes,
    region_of_volumes,
    unsupported_mounts,
)
from flow_core.services.guarding import planned_lease
from flow_core.services.log_reading import read, stream
from flow_core.services.looking import RECENT, give_back, look
from flow_core.services.placing import note, options_for, place
from flow_core.services.polling import intervals
from flow_core.services.ports import Ports
from flow_core.services.prices import by_policy
from flow_core.services.recovering import checked
from flow_core.services.reserved import plan_on

#: Real seconds that a submit goes on looking for a bid whose acceptance was not heard, before the watcher takes over.
SUBMIT_PATIENCE_S = 20.0
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
        provider, defaults = self._ports.provider, self._ports.defaults
        if spec.reservation is None:
            spec = evolve(
                spec,
                instance_type=spec.instance_type or defaults.instance_type,
                region=spec.region
                or region_of_volumes(self._ports, spec)
                or self._default_region(spec),
            )
        spec = evolve(spec, mounts=tuple(self._placed_mount(each) for each in spec.mounts))
        checked(self._ports, spec)
        problems = unsupported_mounts(spec, provider)
        live = self._ports.journal.live(provider=provider.name) if spec.name is not None else ()
        if spec.name in {name for record in live for name in (record.name, record.group)}:
            raise NameTaken(
                f"a live task is named {spec.name!r}",
                hint=f"choose another name, or `flow cancel {spec.name}` first",
            )
        if problems:
            raise InvalidRequest(problems)
        options = options_for(spec, provider)
        for dependency in spec.after:
            if not self._ports.journal.members(dependency.task):
                self._ports.journal.find(dependency.task)
        if spec.reservation is not None:
            plan = plan_on(self._ports, spec)
            notes = [*plan.notes, *planned_buckets(self._ports, spec)]
            notes += planned_lease(self._ports, spec, limit=plan.limit)
            return evolve(plan, notes=tuple(notes))
        market = provider.market_for(options)
        quotes = (
            market.quotes(spec.instance_type) or market.quotes()
        )  # to name what there is instead
        try:
            plan = choose(spec, quotes, ceiling=defaults.ceiling)
        except NoCapacity as none:
            if provider.in_all is None:
                raise
            raise NoCapacity(f"{none.message}; {provider.in_all()}", hint=none.hint) from none
        plan = by_policy(self._ports, plan)
        notes = planned_volumes(self._ports, spec, region=plan.quote.region)
        notes += planned_buckets(self._ports, spec)
        notes += planned_lease(self._ports, spec, limit=plan.limit)
        unused = provider.limits.image_note if spec.image else ""
        notes += filter(None, [unused or missing_interpreter(spec)])
        return evolve(plan, notes=tuple(notes))

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
        ports = self._ports
        plan = plan or self.plan(spec)
        name = plan.spec.name or readable_name(ports.chance, taken=ports.journal.names())
        spec = evolve(plan.spec, name=name, instance_type=plan.quote.shape)
        secrets = ports.vault.held(heir_of.token) if heir_of else ports.vault.find(spec.secrets)
        bundle = ports.code.pack(spec.code) if spec.code is not None and not heir_of else None
        record = TaskRecord(
            token=new_token(ports.chance),
            name=name,
            provider=ports.provider.name,
            spec=spec,
            created_at=ports.provider.clock.now(),
            step=Step.HELD if spec.after else Step.INTENDED,
            region=plan.quote.region,
            type_id=plan.quote.type_id,
            limit=plan.limit,
            code_digest=bundle.digest if bundle else None,
            code_location=bundle.location if bundle else None,
        )
        if heir_of is not None:
            record = evolve(
                record, code_digest=heir_of.code_digest, code_location=heir_of.code_location
            )
        ports.watch.ensure()
        ports.vault.entrust(record.token, secrets)
        hand_over(ports, record)
        ports.journal.add(record)
        note(ports, record.token, "submitted", f"limit {plan.limit}/hr: {plan.limit_why}")
        ports.watch.ensure()  # again: one that found nothing live may have gone between the two lines above
        return record if record.step is Step.HELD or heir_of else self._placed(record)

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
        depends = view.state in (TaskState.BIDDING, TaskState.PREEMPTED)
        quote = self.quote(view.record) if depends else None
        return waiting(view, quote, self._ports.provider.clock.now())

    def follow(self, name: str, *, timeout_s: float | None = None) -> Iterator[Progress]:
        """Yield look after look until the task has ended and nothing of it costs money, or is kept on purpose.

        Looks come fast at first, then as often as the provider finds worth it; the caller may stop any time.

        Raises:
            WaitTimedOut: `timeout_s` real seconds passed; the message says what was waited for.
        """
        ports = self._ports
        started = ports.clock.now()
        view = TaskView(record=self.record(name))
        waits, seen = intervals(ports.provider.limits.poll_s), ""
        while True:
            view, reason, rest = self._glance(view)
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
            if what != seen:  # something moves, so more may follow soon
                waits, seen = intervals(ports.provider.limits.poll_s), what
            left = timeout_s - elapsed.total_seconds() if timeout_s is not None else float("inf")
            ports.clock.sleep(min(max(next(waits), rest), max(left, 0.0)))

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

    def _glance(self, last: TaskView) -> tuple[TaskView, Waiting | None, float]:
        """Return a new view, what it waits for, and how many real seconds to rest at least before the next.

        A provider that doesn't answer leaves the last view standing, and is what is waited for.
        """
        ports = self._ports
        record = ports.journal.find(last.record.token)
        try:
            view = look(ports, [record])[0]
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

    def _placed(self, record: TaskRecord) -> TaskRecord:
        started = self._ports.clock.now()
        trouble: Transient | None = None
        for wait in intervals(self._ports.provider.limits.poll_s):
            try:
                record = place(self._ports, record.token)
            except Transient as silence:
                trouble = silence
                wait = max(wait, silence.retry_after_s or 0.0)
            if record.step is not Step.INTENDED or record.has_ended:
                return record
            if (self._ports.clock.now() - started).total_seconds() >= SUBMIT_PATIENCE_S:
                raise Transient(
                    f"{record.name!r} was sent to {record.provider}, which has not confirmed it: "
                    f"{trouble or 'no answer'}",
                    hint=f"the watcher goes on; `flow status {record.name}` shows what comes of it, "
                    f"`flow cancel {record.name}` ends it",
                )
            self._ports.clock.sleep(wait)
        return record

    def _placed_mount(self, mount: Mount) -> Mount:
        """Return a mount whose folder means the same to the watcher, which may be who places the bid."""
        if mount.kind is not Source.HOST:
            return mount
        return evolve(mount, source=self._ports.code.absolute(mount.source))

    def _default_region(self, spec: TaskSpec) -> str | None:
        """Return the region of the settings; one that may move begins wherever it is cheapest."""
        return None if spec.recovery.how is Recover.MOVE else self._ports.defaults.region
