"""From a spec to a task that is placed: where it would be bid and for how much, and bidding it.

Its own file, for most commands only look at tasks that are there.
"""

from __future__ import annotations

from contextlib import suppress

from attrs import evolve

from flow_core.domain.images import missing_interpreter
from flow_core.domain.names import new_token, readable_name
from flow_core.domain.placement import Plan, choose
from flow_core.domain.record import Step, TaskRecord
from flow_core.domain.task import TaskSpec
from flow_core.domain.task_parts import Mount, Recover, Source
from flow_core.errors import FlowError, InvalidRequest, NameTaken, NoCapacity, Transient
from flow_core.services.data_buckets import hand_over, planned_buckets
from flow_core.services.data_volumes import (
    planned_volumes,
    region_of_volumes,
    unsupported_mounts,
)
from flow_core.services.guarding import planned_lease
from flow_core.services.looking import look
from flow_core.services.placing import note, options_for, place, wants_delivery
from flow_core.services.polling import intervals
from flow_core.services.ports import Ports
from flow_core.services.recovering import checked

#: Real seconds that a submit goes on looking for a bid whose acceptance was not heard, before the watcher takes over.
SUBMIT_PATIENCE_S = 20.0


def planned(ports: Ports, spec: TaskSpec) -> Plan:
    """See `Tasks.plan`."""
    provider, defaults = ports.provider, ports.defaults
    if spec.reservation is None:
        spec = evolve(
            spec,
            instance_type=spec.instance_type or defaults.instance_type,
            region=spec.region or region_of_volumes(ports, spec) or _default_region(ports, spec),
        )
    spec = evolve(spec, mounts=tuple(_placed_mount(ports, each) for each in spec.mounts))
    checked(ports, spec)
    problems = unsupported_mounts(spec, provider)
    live = ports.journal.live(provider=provider.name) if spec.name is not None else ()
    if spec.name in {name for record in live for name in (record.name, record.group)}:
        raise NameTaken(
            f"a live task is named {spec.name!r}",
            hint=f"choose another name, or `flow cancel {spec.name}` first",
        )
    if problems:
        raise InvalidRequest(problems)
    options = options_for(spec, provider)
    for dependency in spec.after:
        if not ports.journal.members(dependency.task):
            ports.journal.find(dependency.task)
    if spec.reservation is not None:
        from flow_core.services.reserved import plan_on

        plan = plan_on(ports, spec)
        notes = [*plan.notes, *planned_buckets(ports, spec)]
        notes += planned_lease(ports, spec, limit=plan.limit)
        return evolve(plan, notes=tuple(notes))
    market = provider.market_for(options)
    quotes = market.quotes(spec.instance_type) or market.quotes()  # to name what there is instead
    try:
        plan = choose(spec, quotes, ceiling=defaults.ceiling)
    except NoCapacity as none:
        if provider.in_all is None:
            raise
        raise NoCapacity(f"{none.message}; {provider.in_all()}", hint=none.hint) from none
    if plan.spec.bid_policy is not None:
        from flow_core.services.prices import by_policy

        plan = by_policy(ports, plan)
    notes = planned_volumes(ports, spec, region=plan.quote.region)
    notes += planned_buckets(ports, spec)
    notes += planned_lease(ports, spec, limit=plan.limit)
    unused = provider.limits.image_note if spec.image else ""
    notes += filter(None, [unused or missing_interpreter(spec)])
    return evolve(plan, notes=tuple(notes))


def submitted(
    ports: Ports, spec: TaskSpec, *, plan: Plan | None = None, heir_of: TaskRecord | None = None
) -> TaskRecord:
    """See `Tasks.submit`."""
    plan = plan or planned(ports, spec)
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
    if record.step is Step.HELD or heir_of:
        return record
    return _supplied(ports, _placed(ports, record))


def _placed(ports: Ports, record: TaskRecord) -> TaskRecord:
    started = ports.clock.now()
    trouble: Transient | None = None
    for wait in intervals(ports.provider.limits.poll_s):
        try:
            record = place(ports, record.token)
        except Transient as silence:
            trouble = silence
            wait = max(wait, silence.retry_after_s or 0.0)
        if record.step is not Step.INTENDED or record.has_ended:
            return record
        if (ports.clock.now() - started).total_seconds() >= SUBMIT_PATIENCE_S:
            raise Transient(
                f"{record.name!r} was sent to {record.provider}, which has not confirmed it: "
                f"{trouble or 'no answer'}",
                hint=f"the watcher goes on; `flow status {record.name}` shows what comes of it, "
                f"`flow cancel {record.name}` ends it",
            )
        ports.clock.sleep(wait)
    return record


def _supplied(ports: Ports, record: TaskRecord) -> TaskRecord:
    """Return the record once its nodes have their first delivery, if they take it now; else the watcher brings it."""
    provider = ports.provider
    if not provider.limits.takes_at_once or record.step is not Step.PLACED or record.bid_state:
        return record
    if not wants_delivery(record.spec, provider):
        return record
    from flow_core.domain.actions import Deliver
    from flow_core.services.delivering import deliver

    with suppress(FlowError):
        [view] = look(ports, [record], asks_nodes=False)
        if view.allocation is not None and view.allocation.is_complete:
            deliver(ports, view, Deliver(1, view.allocation.signature))
    return ports.journal.find(record.token)


def _placed_mount(ports: Ports, mount: Mount) -> Mount:
    """Return a mount whose folder means the same to the watcher, which may be who places the bid."""
    if mount.kind is not Source.HOST:
        return mount
    return evolve(mount, source=ports.code.absolute(mount.source))


def _default_region(ports: Ports, spec: TaskSpec) -> str | None:
    """Return the region of the settings; one that may move begins wherever it is cheapest."""
    return None if spec.recovery.how is Recover.MOVE else ports.defaults.region
