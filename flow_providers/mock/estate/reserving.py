"""Reservations: what may be reserved, at what price, and what comes back for time that wasn't used.

Every number here is invented but for the terms, three hours to two weeks in steps of an hour (contract, section 2).
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise

from attrs import evolve, frozen

from flow_core.domain.allocation import NodeState
from flow_core.domain.money import Price, Spend
from flow_providers.mock.estate import terms
from flow_providers.mock.estate.events import note
from flow_providers.mock.estate.rows import ReservationRow
from flow_providers.mock.rows import MarketRow, NodeRow
from flow_providers.mock.rules import Rules
from flow_providers.mock.world import World

HOUR = timedelta(hours=1)
SHORTEST, LONGEST = timedelta(hours=3), timedelta(days=14)
#: How far a start may lie in the past: whoever says "now" is a little late by the time we read it.
LATE = timedelta(hours=1)
#: The share of a market's machines that there are once more, for reservations.
POOL_SHARE = 4
#: What a reserved hour costs of a spot hour at its base, and what of that comes back.
PREMIUM, PAUSE_SHARE, RETURN_SHARE = Decimal("1.5"), Decimal("0.5"), Decimal("0.4")


@frozen(kw_only=True)
class Gap:
    """A time in which `quantity` more could be reserved."""

    start: datetime
    end: datetime
    quantity: int


def unit_price(market: MarketRow) -> Price:
    """Return what an instance-hour costs when reserved."""
    return max(market.base, market.floor).scaled(PREMIUM)


def pause_price(unit: Price) -> Price:
    """Return what comes back for an instance-hour that was paused."""
    return unit.scaled(PAUSE_SHARE)


def return_price(unit: Price) -> Price:
    """Return what comes back for an instance-hour that was given back."""
    return unit.scaled(RETURN_SHARE)


def pool(market: MarketRow) -> int:
    """Return how many instances of a market can be reserved at all."""
    return max(market.capacity // POOL_SHARE, 1)


def term_problem(start: datetime, end: datetime, now: datetime) -> str | None:
    """Return why a term can't be, or None."""
    if start < now - LATE:
        return "start_time is in the past"
    if not SHORTEST <= end - start <= LONGEST:
        return "a reservation lasts 3 hours to 2 weeks"
    if (end - start) % HOUR:
        return "a reservation lasts whole hours"
    return None


def free(world: World, market: MarketRow, at: datetime, *, but: str = "") -> int:
    """Return how many instances are not reserved at a time; those of the reservation `but` count as free."""
    taken = sum(
        row.quantity
        for row in world.reservations.in_group(market.id)
        if not row.hidden and row.id != but and row.start <= at < row.end
    )
    return max(pool(market) - taken, 0)


def gaps(
    world: World, market: MarketRow, start: datetime, end: datetime, *, but: str = ""
) -> list[Gap]:
    """Return the time from `start` to `end` cut where the number of free instances changes."""
    if start >= end:
        return []
    rows = [row for row in world.reservations.in_group(market.id) if not row.hidden]
    cuts = {start, end, *(at for row in rows for at in (row.start, row.end) if start < at < end)}
    edges = sorted(cuts)
    return [
        Gap(start=begin, end=until, quantity=free(world, market, begin, but=but))
        for begin, until in pairwise(edges)
    ]


def latest_end(
    world: World,
    market: MarketRow,
    start: datetime,
    quantity: int,
    *,
    since: datetime,
    but: str = "",
) -> datetime:
    """Return until when `quantity` instances are free from `since` on, at most a longest term after `start`."""
    latest = since
    for gap in gaps(world, market, since, start + LONGEST, but=but):
        if gap.quantity < quantity:
            break
        latest = gap.end
    return latest


def create(
    world: World,
    rules: Rules,
    now: datetime,
    *,
    market: MarketRow,
    name: str,
    owner: str,
    project: str,
    quantity: int,
    start: datetime,
    end: datetime,
    volumes: tuple[str, ...] = (),
    price: Price | None = None,
    hidden: bool = False,
) -> ReservationRow:
    """Make a reservation, charge it as a whole, and begin it if its time has come."""
    unit = price if price is not None else unit_price(market)
    charge = Spend.ZERO if hidden else (unit * quantity).over(end - start)
    number = world.draw()
    row = ReservationRow(
        id=world.new_id("res"),
        number=number,
        name=name,
        market=market.id,
        owner=owner,
        project=project,
        state="pending",
        quantity=quantity,
        unit_price=unit,
        start=start,
        end=end,
        created_at=now,
        charged=charge.micros,
        volumes=volumes,
        hidden=hidden,
    )
    world.reservations.put(row)
    note(world, row.id, now, "Placed", user=owner)
    note(world, row.id, now, "Terms Set", user=owner, price=unit)
    return terms.begin(world, rules, row, now) if start <= now else row


def extend(
    world: World, row: ReservationRow, until: datetime, *, user: str, now: datetime
) -> ReservationRow:
    """Let a reservation last longer, and charge the rest."""
    more = (row.unit_price * row.quantity).over(until - row.end)
    note(world, row.id, now, "Terms Changed", user=user, price=row.unit_price)
    return world.reservations.put(evolve(row, end=until, charged=row.charged + more.micros))


def pause(world: World, row: ReservationRow, *, user: str, now: datetime) -> ReservationRow:
    """Stop all of a reservation's instances."""
    for node in world.nodes.in_group(row.id):
        if node.state in (NodeState.STARTING, NodeState.RUNNING):
            terms.stop_node(world, node, now)
    note(world, row.id, now, "Paused", user=user)
    return world.reservations.put(evolve(row, state="paused", paused_at=now))


def resume(
    world: World, rules: Rules, row: ReservationRow, *, user: str, now: datetime
) -> ReservationRow:
    """Start a paused reservation's instances again, for a credit if they stood still for an hour or more."""
    before = row.credited
    for node in world.nodes.in_group(row.id):
        if node.state is NodeState.STOPPED:
            resume_node(world, rules, row.id, node, now)
    row = world.reservations.held(row.id) or row
    note(world, row.id, now, "Resumed", user=user, amount=row.credited - before)
    return world.reservations.put(evolve(row, state="active", paused_at=None))


def resume_node(
    world: World, rules: Rules, reservation_id: str, node: NodeRow, now: datetime
) -> None:
    """Start one stopped instance again, for a credit if it stood still for an hour or more."""
    row = world.reservations.held(reservation_id)
    if row is None:
        raise LookupError(reservation_id)
    still = now - node.since
    terms.start_node(world, rules, node, now)
    if still >= HOUR and not row.hidden:
        credit = pause_price(row.unit_price).over(still)
        world.reservations.put(evolve(row, credited=row.credited + credit.micros))


def give_back(
    world: World, row: ReservationRow, nodes: Collection[NodeRow], *, user: str, now: datetime
) -> ReservationRow:
    """Take single instances out of a reservation for good, for a credit; the last one ends it."""
    for node in nodes:
        terms.remove_node(world, node, now)
    left = max(row.end - max(now, row.start), timedelta(0))
    credit = (return_price(row.unit_price) * len(nodes)).over(left)
    quantity = row.quantity - len(nodes)
    note(
        world, row.id, now, "Terms Changed", user=user, price=row.unit_price,
        amount=credit.micros, detail="returned",
    )  # fmt: skip
    row = world.reservations.put(
        evolve(row, quantity=max(quantity, 0), credited=row.credited + credit.micros)
    )
    return terms.end(world, row, now) if quantity <= 0 else row
