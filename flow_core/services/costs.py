"""What tasks have cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from attrs import evolve, frozen

from flow_core.domain.budget import Usage, spent
from flow_core.domain.money import Spend
from flow_core.domain.record import TaskRecord
from flow_core.services.ports import Ports


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
