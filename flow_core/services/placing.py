"""Placing a bid so that there is exactly one, whatever is killed when.

The intent is in the journal, with the token that names the bid, before the request leaves. From then on the task will
exist: whoever comes next (this call, the next command, the watcher) looks for that exact name at the provider. Found,
it is adopted. Absent from complete listings for as long as the provider may lag, it is placed again. One process at a
time does this for one task, by a claim that ends with its process.

What we don't like: a create that takes effect after the lag makes a double. For some minutes after a bid was sent, each
tick of the watcher looks for one and withdraws it (`withdraw_doubles`), so two exist for at most one poll. One that
comes later still, or when no watcher runs, is listed as a stray.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from attrs import evolve

from flow_core.domain.bid import Bid, BidRequest, BidState, Launch
from flow_core.domain.record import Fault, Outcome, Step, TaskEvent, TaskRecord
from flow_core.domain.script import NodeTask, render_script
from flow_core.domain.task_parts import Guard, Source
from flow_core.errors import FlowError, InvalidRequest, NameTaken, Transient
from flow_core.services.data_volumes import attachments_of, drop_volumes, make_volumes

if TYPE_CHECKING:
    from flow_core.domain.task import TaskSpec
    from flow_core.domain.volume import Attachment
    from flow_core.ports.provider import Provider
    from flow_core.services.ports import Ports

#: More than this of code, as a tar, isn't tried to be squeezed into a script.
MOST_CODE = 1 << 20
#: How long after a bid was sent a double of it is looked for: twice the latest that has been thought of.
LATE = timedelta(minutes=10)
#: What a history says of an open bid.
WAITS = "waiting for the market"


def place(ports: Ports, token: str) -> TaskRecord:
    """Bring an intended task one step on, and return its record: PLACED when the bid is known to exist.

    Still INTENDED when another process is at it, or when the provider's listings may still lag.

    Raises:
        Transient: the provider gave no answer; the record stays INTENDED.
        FlowError: the provider refused; the record is REFUSED and nothing exists.
    """
    with ports.journal.claim(token, "place") as mine:
        record = ports.journal.find(token)
        if not mine or record.step is not Step.INTENDED:
            return record
        if record.sent_at is not None:
            found = ports.provider.market.bids(name=record.wire_name)
            if found:
                return _adopt(ports, record, _eldest(found))
            record = _seen_absent(ports, record)
            if not _is_surely_absent(ports, record):
                return record
        if record.cancel_asked:
            return _refused(ports, record, Outcome.CANCELLED, "cancelled before a bid was placed")
        return _send(ports, record)


def withdraw_doubles(ports: Ports, record: TaskRecord, named: Sequence[Bid]) -> list[Bid]:
    """Withdraw every live bid of `named` with this record's name but its own; return those withdrawn."""
    doubles = [
        bid
        for bid in named
        if bid.name == record.wire_name and bid.id != record.bid_id and bid.is_live
    ]
    for bid in doubles:
        ports.provider.market.withdraw(bid.id)
        note(
            ports,
            record.token,
            f"a second bid {bid.id} with this task's name was withdrawn",
            "a late answer to one request",
        )
    return doubles


def may_be_doubled(record: TaskRecord, now: datetime) -> bool:
    """Whether a request of this record's that nobody heard of again may still take effect."""
    if record.step is Step.INTENDED or record.sent_at is None:
        return False
    return now - record.sent_at < LATE


def wants_delivery(spec: TaskSpec, provider: Provider, *, code_rides: bool = False) -> bool:
    """Whether the command must wait for something that only arrives over the shell."""
    return (
        spec.num_instances > 1
        or (spec.code is not None and not code_rides)
        or bool(spec.secrets)
        or bool(spec.env and not provider.limits.script_is_private)
        or wants_setup(spec, provider)
    )


def wants_setup(spec: TaskSpec, provider: Provider) -> bool:
    """Whether the nodes have more to do before the command than the node script does by itself."""
    limits = provider.limits
    mounted = limits.volume_path or limits.volume_device
    return (
        spec.num_instances > 1
        or (spec.environment or "none") != "none"
        or (spec.image is not None and limits.images_by_kit)
        or is_batch_script(spec)
        or spec.idle_timeout is not None
        or spec.guard is Guard.NODE
        or any(
            mount.kind is Source.S3 or (mount.kind is Source.VOLUME and mounted)
            for mount in spec.mounts
        )
    )


def is_batch_script(spec: TaskSpec) -> bool:
    """Whether the command is a Slurm script, which calls commands that the kit has."""
    return "SLURM_JOB_ID" in spec.env


def options_for(spec: TaskSpec, provider: Provider) -> dict[str, str]:
    """Return the options of `spec` that are meant for `provider`, by its own short names.

    Raises:
        InvalidRequest: one is meant for it, or for every provider, and it doesn't understand it.
    """
    found: dict[str, str] = {}
    unknown: list[str] = []
    for name, value in spec.options.items():
        prefix, dot, rest = name.rpartition(".")
        if dot and prefix != provider.name:
            continue
        found[rest] = value
        if rest not in provider.limits.options:
            known = ", ".join(sorted(provider.limits.options)) or "none"
            unknown.append(f"{provider.name} has no option {rest!r} (it has: {known})")
    if unknown:
        raise InvalidRequest({"options": "; ".join(unknown)})
    return found


def note(ports: Ports, token: str, what: str, why: str = "", fault: Fault | None = None) -> None:
    """Write a line into the task's history."""
    now = ports.provider.clock.now()
    ports.journal.log(token, TaskEvent(at=now, what=what, why=why, fault=fault))


def _send(ports: Ports, record: TaskRecord) -> TaskRecord:
    try:
        record = make_volumes(ports, record)
        request = _request(ports, record)
        record = ports.journal.update(
            record.token, sent_at=ports.provider.clock.now(), absent_since=None
        )
        bid = ports.provider.market.place(request)
    except Transient:
        said = "the bid was sent, and the answer was not heard"
        note(ports, record.token, said, fault=Fault.PROVIDER)
        raise
    except NameTaken:
        found = ports.provider.market.bids(name=record.wire_name)
        if not found:
            raise
        bid = _eldest(found)
    except FlowError as refusal:
        _refused(ports, ports.journal.find(record.token), Outcome.REFUSED, refusal.message)
        raise
    return _adopt(ports, record, bid)


def _adopt(ports: Ports, record: TaskRecord, bid: Bid) -> TaskRecord:
    where = f"{bid.quantity} × {bid.shape} in {bid.region}"
    waits = bid.state is BidState.OPEN
    with ports.journal.together():
        note(ports, record.token, f"bid {bid.id} placed at {bid.limit}/hr for {where}")
        if waits:
            note(ports, record.token, WAITS)
        return ports.journal.update(
            record.token,
            step=Step.PLACED,
            bid_id=bid.id,
            bid_state=bid.state if waits else None,
            region=bid.region,
            limit=bid.limit,
            owner=bid.owner,
            volumes_made="",
        )


def _refused(ports: Ports, record: TaskRecord, outcome: Outcome, reason: str) -> TaskRecord:
    drop_volumes(ports, record)
    note(ports, record.token, "nothing was placed", reason)
    now = ports.provider.clock.now()
    return ports.journal.update(
        record.token, step=Step.REFUSED, outcome=outcome, reason=reason, ended_at=now, released=True
    )


def _seen_absent(ports: Ports, record: TaskRecord) -> TaskRecord:
    if record.absent_since is not None:
        return record
    return ports.journal.update(record.token, absent_since=ports.provider.clock.now())


def _is_surely_absent(ports: Ports, record: TaskRecord) -> bool:
    if record.absent_since is None:
        return False
    lag = timedelta(seconds=ports.provider.limits.listing_lag_s)
    return ports.provider.clock.now() - record.absent_since >= lag


def _eldest(bids: Sequence[Bid]) -> Bid:
    return min(bids, key=lambda bid: (not bid.is_live, bid.created_at, bid.id))


def _request(ports: Ports, record: TaskRecord) -> BidRequest:
    spec = record.spec
    if spec.instance_type is None:
        raise InvalidRequest({"instance_type": "was never chosen"})
    attachments: tuple[Attachment, ...] = ()
    if any(mount.kind is Source.VOLUME for mount in spec.mounts):
        attachments = attachments_of(
            spec, ports.provider.need_volumes().volumes(), region=record.region
        )
    return BidRequest(
        name=record.wire_name,
        type_id=record.type_id,
        shape=spec.instance_type,
        region=record.region,
        quantity=spec.num_instances,
        limit=record.limit,
        launch=Launch(
            script=script_of(ports, record),
            image=spec.image,
            attachments=attachments,
            mounts=tuple(each for each in spec.mounts if each.kind is not Source.VOLUME),
            environment=spec.environment,
            options=options_for(spec, ports.provider),
            max_run_time=spec.max_run_time,
        ),
        reservation=spec.reservation or "",
    )


def script_of(ports: Ports, record: TaskRecord) -> str:
    """Return the node script of a record's task; equal records give equal scripts.

    Where nothing else has to be brought to the node, and a script has an end, the code rides along if it fits: then
    the command needs nobody here. Only to machines, though: they have the `tar` that a container's image may lack.
    """
    spec, limits = record.spec, ports.provider.limits
    limit = limits.script_chars if limits.images_by_kit else None
    task = NodeTask(
        name=record.name,
        token=record.token,
        command=spec.command,
        env=dict(spec.env) if ports.provider.limits.script_is_private else {},
        working_dir=spec.working_dir,
        num_nodes=spec.num_instances,
        run_on=spec.run_on,
        wants_delivery=wants_delivery(spec, ports.provider),
        gpus=spec.instance_type.gpus if spec.instance_type is not None else 0,
        workspace=ports.provider.limits.workspace,
        retries=spec.retries,
        notice_signal=spec.notice_signal or "USR1",
        notice_file=ports.provider.limits.notice_file,
    )
    script = render_script(task, files=ports.node_files)
    if limit is None or not task.wants_delivery or record.code_digest is None:
        return script
    if wants_delivery(spec, ports.provider, code_rides=True):
        return script
    code = ports.code.tar(record.code_digest, most=MOST_CODE)
    if code is None:
        return script
    riding = evolve(task, wants_delivery=False, code=code)
    longer = render_script(riding, files=ports.node_files)
    return longer if len(longer) <= limit else script
