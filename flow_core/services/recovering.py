"""Carrying out a task's recovery: a higher limit, or another region.

A move is written down before anything is given up, so that a kill at any moment leaves one bid at most: first where to
(`next_region`), then the old bid is withdrawn, and only when it is known to be gone does the record become an intent
again, which is placed like any other.
"""

from __future__ import annotations

from decimal import Decimal

from attrs import evolve

from flow_core.domain.bid import Bid, Quote
from flow_core.domain.healing import checkpoint_problem
from flow_core.domain.placement import choose
from flow_core.domain.record import Step, TaskRecord
from flow_core.domain.task import TaskSpec
from flow_core.domain.task_parts import Recover, Source
from flow_core.errors import InvalidRequest, NoCapacity, PriceTooLow
from flow_core.services.costs import Costs
from flow_core.services.placing import note
from flow_core.services.ports import Ports

#: A raised limit is this much over the price that it must beat: a tie may lose (contract, section 3).
OVER = Decimal("1.1")


def recover(ports: Ports, record: TaskRecord, bid: Bid) -> None:
    """Do what the record's recovery says; what it can't do now it says once, and tries again later."""
    now = ports.provider.clock.now()
    if record.spec.recovery.how is Recover.RAISE:
        said = _raise(ports, record, bid)
    else:
        said = _move(ports, record)
    ports.journal.update(record.token, recovered_at=now)
    if said not in {event.what for event in ports.journal.events(record.token)[-3:]}:
        note(ports, record.token, said, f"its recovery is {record.spec.recovery}")


def rebid(ports: Ports, record: TaskRecord) -> TaskRecord:
    """Make an intent of a record whose old bid is gone, to be placed in the region that it moves to."""
    cost = Costs(ports).of([record])[record.token]
    return ports.journal.update(
        record.token,
        step=Step.INTENDED,
        region=record.next_region,
        type_id=record.next_type,
        next_region="",
        next_type="",
        moves=record.moves + 1,
        former_bid=record.bid_id or "",
        spent_before=cost.spent,
        held_before_s=int(cost.held.total_seconds()),
        bid_id=None,
        bid_state=None,
        sent_at=None,
        absent_since=None,
        ready_at=None,
        membership=0,
        membership_signature="",
        preempted_at=None,
        recovered_at=None,
    )


def checked(ports: Ports, spec: TaskSpec) -> None:
    """Refuse a task that could never do what it says of its own survival.

    Raises:
        InvalidRequest: its recovery could never act, or its checkpoint lies where nothing survives.
    """
    limits = ports.provider.limits
    problems = {
        "recovery": _never(ports, spec),
        "checkpoint": checkpoint_problem(
            spec, workspace=limits.workspace, scratch=limits.scratch_paths
        ),
    }
    found = {key: text for key, text in problems.items() if text}
    if found:
        raise InvalidRequest(found)


def _never(ports: Ports, spec: TaskSpec) -> str | None:
    how = spec.recovery.how
    if how is Recover.RAISE and spec.max_price is None and ports.defaults.ceiling is None:
        return "has no cap to raise the limit to; name one with max_price_per_hour"
    if how is Recover.MOVE and any(mount.kind is Source.VOLUME for mount in spec.mounts):
        return "can't move a task whose volumes lie in one region; use a bucket, or wait"
    return None


def _raise(ports: Ports, record: TaskRecord, bid: Bid) -> str:
    cap = record.spec.max_price or ports.defaults.ceiling
    quote = _here(ports, record)
    if quote is None:
        return f"the limit was not raised: {record.region} offers none of its type now"
    wanted = quote.price.scaled(OVER)
    if cap is not None and wanted > cap:
        wanted = cap
    if wanted <= bid.limit or wanted <= quote.price:
        return (
            f"the limit was not raised: {quote.price}/hr is the price, {cap}/hr the most to be paid"
        )
    ports.provider.market.amend(bid.id, limit=wanted)
    ports.journal.update(record.token, limit=wanted)
    return f"the limit was raised from {bid.limit}/hr to {wanted}/hr; {quote.price}/hr is the price"


def _move(ports: Ports, record: TaskRecord) -> str:
    quotes = [
        quote
        for quote in ports.provider.market.quotes(record.spec.instance_type)
        if quote.region != record.region
    ]
    try:
        plan = choose(evolve(record.spec, max_price=record.limit), quotes)
    except (NoCapacity, PriceTooLow) as nothing:
        return f"it did not move: {nothing.message}"
    if plan.quote.price >= record.limit:
        return f"it did not move: {plan.quote.region} costs {plan.quote.price}/hr, its limit is {record.limit}/hr"
    ports.journal.update(record.token, next_region=plan.quote.region, next_type=plan.quote.type_id)
    return f"it moves from {record.region} to {plan.quote.region}, at {plan.quote.price}/hr now"


def _here(ports: Ports, record: TaskRecord) -> Quote | None:
    found = ports.provider.market.quotes(record.spec.instance_type)
    return next(
        (each for each in found if (each.type_id, each.region) == (record.type_id, record.region)),
        None,
    )
