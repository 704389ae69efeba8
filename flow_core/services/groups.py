"""Groups of tasks, from one submission to the last end: arrays of Slurm's, and sweeps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from attrs import evolve

from flow_core.domain.group import MOST, GroupView
from flow_core.domain.names import new_token, problem_with_name, readable_name
from flow_core.domain.placement import Plan
from flow_core.domain.record import Outcome, Step, TaskRecord
from flow_core.domain.status import TaskView
from flow_core.domain.task import TaskSpec
from flow_core.errors import InvalidRequest, NameTaken, NotFound, Transient
from flow_core.services.data_buckets import forget, hand_over
from flow_core.services.looking import RECENT, look
from flow_core.services.placing import note
from flow_core.services.polling import intervals
from flow_core.services.ports import Ports
from flow_core.services.tasks import SILENCE_S, Tasks


class Groups:
    """What users do with tasks that belong together."""

    def __init__(self, ports: Ports, tasks: Tasks) -> None:
        self._ports = ports
        self._tasks = tasks

    def free_name(self) -> str:
        """Return a readable name that no task has."""
        return readable_name(self._ports.chance, taken=self._ports.journal.names())

    def submit(
        self,
        specs: Sequence[TaskSpec],
        *,
        name: str,
        at_once: int = 0,
        plan: Plan | None = None,
        heir_of: TaskRecord | None = None,
    ) -> list[TaskRecord]:
        """Journal every task, all or none, and start the watcher, which places their bids as their turn comes.

        The specs have names, and differ only in name, command, variables and `after`: one plan, the first's, is
        made for all of them. `at_once` is how many of them may hold a bid at a time; 0 for all. Heirs have the code
        and the secrets of another task.

        Raises:
            NameTaken: a live task has one of the names; nothing was written.
            InvalidRequest: there are too many, the name won't do, or a secret is not where it should be.
            FlowError: whatever `Tasks.plan` raises.
        """
        ports = self._ports
        live = ports.journal.live(provider=ports.provider.name)
        if name in {each for record in live for each in (record.name, record.group)}:
            raise NameTaken(
                f"live tasks are named {name!r}",
                hint=f"choose another name, or `flow cancel {name}` first",
            )
        problem = problem_with_name(name)
        if problem is None and not 0 < len(specs) <= MOST:
            problem = f"{name!r} has {len(specs):,} tasks; {MOST:,} is the most"
        if problem is not None:
            raise InvalidRequest({"name": problem})
        plan = plan or self._tasks.plan(specs[0])
        find, code = ports.vault.find, plan.spec.code
        secrets = ports.vault.held(heir_of.token) if heir_of else find(plan.spec.secrets)
        bundle = ports.code.pack(code) if code is not None and not heir_of else None
        digest, location = (bundle.digest, bundle.location) if bundle else (None, None)
        if heir_of is not None:
            digest, location = heir_of.code_digest, heir_of.code_location
        token = new_token(ports.chance)
        now = ports.provider.clock.now()
        records = [
            TaskRecord(
                token=new_token(ports.chance),
                name=spec.name or name,
                provider=ports.provider.name,
                spec=evolve(
                    plan.spec,
                    name=spec.name,
                    command=spec.command,
                    env=spec.env,
                    after=spec.after,
                    instance_type=plan.quote.shape,
                ),
                created_at=now,
                step=Step.HELD,
                region=plan.quote.region,
                type_id=plan.quote.type_id,
                limit=plan.limit,
                group=name,
                group_token=token,
                at_once=at_once,
                code_digest=digest,
                code_location=location,
            )
            for spec in specs
        ]
        ports.watch.ensure()
        for record in records:
            ports.vault.entrust(record.token, secrets)
            hand_over(ports, record)
        with ports.journal.together():
            for record in records:
                ports.journal.add(record)
                note(ports, record.token, "submitted", f"limit {plan.limit}/hr: {plan.limit_why}")
        ports.watch.ensure()  # again: one that found nothing live may have gone meanwhile
        return records

    def members(self, name: str) -> Sequence[TaskRecord]:
        """Return the tasks of the newest group with this name or token, in the order they were submitted.

        Raises:
            NotFound: there is no such group.
        """
        found = self._ports.journal.members(name, provider=self._ports.provider.name)
        if not found:
            raise NotFound(
                f"no group of tasks is named {name!r}", hint="`flow status` lists what there is"
            )
        return found

    def called(self, name: str) -> Sequence[TaskRecord]:
        """Return the task of this name, or without one the tasks of the group that has it.

        Raises:
            NotFound: neither is there; the message is the one about tasks.
        """
        try:
            return [self._tasks.record(name)]
        except NotFound:
            found = self._ports.journal.members(name, provider=self._ports.provider.name)
            if not found:
                raise
            return found

    def view(self, name: str) -> GroupView:
        """Return what is known of a group now.

        Raises:
            NotFound: there is no such group.
        """
        return _view(look(self._ports, self.members(name), within=RECENT))

    def behind(self, views: Sequence[TaskView]) -> Mapping[str, GroupView]:
        """Return by token every group that one of `views` belongs to, with all of its tasks."""
        found: dict[str, GroupView] = {}
        known = {view.record.token: view for view in views}
        for token in dict.fromkeys(view.record.group_token for view in views):
            if not token:
                continue
            members = self._ports.journal.members(token, provider=self._ports.provider.name)
            found[token] = _view(
                [known.get(each.token) or TaskView(record=each) for each in members]
            )
        return found

    def follow(self, name: str) -> Iterator[GroupView]:
        """Yield look after look until every task has ended and costs nothing any more.

        Raises:
            NotFound: there is no such group.
        """
        ports = self._ports
        token = self.members(name)[0].group_token
        waits = intervals(ports.provider.limits.poll_s)
        while True:
            rest = 0.0
            try:
                view = self.view(token)
            except Transient as silence:
                rest = silence.retry_after_s or SILENCE_S
            else:
                yield view
                if view.is_final:
                    return
            ports.watch.ensure()
            ports.clock.sleep(max(next(waits), rest))

    def cancel(self, name: str) -> Sequence[TaskRecord]:
        """End every task of a group that is live, those first that have not begun; return all of its records.

        Raises:
            NotFound: there is no such group.
        """
        ports = self._ports
        members = self.members(name)
        now = ports.provider.clock.now()
        ports.watch.ensure()
        with ports.journal.together():
            for each in members:
                record = ports.journal.find(each.token)
                if record.step is Step.HELD and not record.has_ended:
                    ports.journal.update(
                        record.token,
                        cancel_asked=True,
                        step=Step.REFUSED,
                        outcome=Outcome.CANCELLED,
                        reason="cancelled before a bid was placed",
                        ended_at=now,
                        released=True,
                    )
                    note(ports, record.token, "cancelled")
                    ports.vault.forget(record.token)
                    forget(ports, record)
        return [self._tasks.cancel(record.token) for record in members]


def _view(views: Sequence[TaskView]) -> GroupView:
    first = views[0].record
    return GroupView(name=first.group, token=first.group_token, views=tuple(views))
