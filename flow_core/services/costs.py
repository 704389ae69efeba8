"""What tasks have cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from attrs import evolve, frozen

from flow_core.domain.bill import BillLine
from flow_core.domain.budget import Usage, spent
from flow_core.domain.money import Spend
from flow_core.domain.names import split_wire_name
from flow_core.domain.record import TaskRecord
from flow_core.domain.shape import InstanceShape
from flow_core.services.ports import Ports

#: How many tasks that have ended a bill looks through.
MOST_BILLED = 10_000


@frozen(kw_only=True)
class Cost:
    """What one task has cost so far, and the paid stretches behind it.

    `is_estimate` says that it was reckoned from the limit, not from prices.
    """

    spent: Spend
    held: timedelta
    stretches: tuple[Usage, ...] = ()
    is_estimate: bool = False


class Costs:
    """Adds up what was held, at what price."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    def of(self, records: Sequence[TaskRecord]) -> Mapping[str, Cost]:
        """Return the cost of each record by token, in one sweep of the provider.

        A released task's cost is the one the journal kept, without its stretches.
        """
        now = self._ports.provider.clock.now()
        asked = [
            record.bid_id
            for record in records
            if record.bid_id is not None and not record.released and record.spec.reservation is None
        ]
        usage = self._ports.provider.usage
        known = usage.usage(asked) if usage is not None and asked else {}
        found: dict[str, Cost] = {}
        for record in records:
            if record.released and record.spent is not None:
                found[record.token] = Cost(spent=record.spent, held=timedelta(0))
            elif record.spec.reservation is not None:
                # It was paid with the reservation, whatever runs on it.
                found[record.token] = evolve(_estimated(record, now), is_estimate=False)
            elif usage is not None:
                found[record.token] = _measured(known.get(record.bid_id or "", ()), now)
            else:
                found[record.token] = _estimated(record, now)
            if record.spent_before is not None and not record.released:
                here = found[record.token]
                found[record.token] = evolve(
                    here,
                    spent=here.spent + record.spent_before,
                    held=here.held + timedelta(seconds=record.held_before_s),
                )
        return found

    def stretches(self, record: TaskRecord) -> Sequence[Usage]:
        """Return the paid stretches behind one task, in order of time; empty where the provider doesn't tell."""
        usage = self._ports.provider.usage
        return (
            usage.usage([record.bid_id])[record.bid_id]
            if usage is not None and record.bid_id is not None and record.spec.reservation is None
            else ()
        )


def bill(ports: Ports, *, since: datetime, most: int = MOST_BILLED) -> Sequence[BillLine]:
    """Return what each task has cost since a moment, newest first; those that cost nothing are left out.

    Live bids of the account that this machine's journal doesn't know are among them, under their own names.
    """
    now = ports.provider.clock.now()
    records = [
        record
        for record in ports.journal.recent(most, provider=ports.provider.name)
        if record.bid_id is not None and (record.ended_at is None or record.ended_at >= since)
    ]
    known = {record.bid_id for record in records}
    others = [bid for bid in ports.provider.market.bids(live=True) if bid.id not in known]
    usage = ports.provider.usage
    ids = [*known, *(bid.id for bid in others)]
    told = usage.usage([each for each in ids if each]) if usage is not None and ids else {}
    estimates = Costs(ports).of(records)
    lines = [
        _line(
            told.get(record.bid_id or "", ()),
            since,
            now,
            name=record.name,
            owner=record.owner or "",
            is_live=record.is_live,
            shape=record.spec.instance_type,
            otherwise=estimates[record.token],
        )
        for record in records
    ]
    for bid in others:
        lines.append(
            _line(
                told.get(bid.id, ()),
                since,
                now,
                name=(split_wire_name(bid.name) or (bid.name, ""))[0],
                owner=bid.owner or "",
                is_live=True,
                shape=bid.shape,
                otherwise=None,
            )
        )
    return [line for line in lines if line.spent.micros]


def _line(
    stretches: Sequence[Usage],
    since: datetime,
    now: datetime,
    *,
    name: str,
    owner: str,
    is_live: bool,
    shape: InstanceShape | None,
    otherwise: Cost | None,
) -> BillLine:
    clipped = tuple(part for part in (each.within(since, now) for each in stretches) if part)
    seconds = sum(
        ((each.until or now) - each.since).total_seconds() * each.nodes for each in clipped
    )
    is_told = bool(stretches) or otherwise is None
    return BillLine(
        name=name,
        owner=owner,
        is_live=is_live,
        shape=shape,
        spent=spent(clipped, now) if is_told or otherwise is None else otherwise.spent,
        node_hours=seconds / 3_600,
        stretches=clipped,
        is_estimate=not is_told,
    )


def _measured(stretches: Sequence[Usage], now: datetime) -> Cost:
    held = sum(((each.until or now) - each.since for each in stretches), timedelta(0))
    return Cost(spent=spent(stretches, now), held=held, stretches=tuple(stretches))


def _estimated(record: TaskRecord, now: datetime) -> Cost:
    if record.began_at is None:
        return Cost(spent=Spend.ZERO, held=timedelta(0), is_estimate=True)
    held = max((record.ended_at or now) - record.began_at, timedelta(0))
    return Cost(
        spent=(record.limit * record.spec.num_instances).over(held), held=held, is_estimate=True
    )
