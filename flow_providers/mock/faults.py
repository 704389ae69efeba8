"""Faults by script: what can be told to go wrong, and kept in the world so that another process meets it.

    outbid         a rival offers a cent more than a bid's limit for all of its market, at once, and leaves some time
                   after the notice has ended (`Rules.outbid_s`), so that a rehearsal comes back by itself
    set_price      the crowd of some markets pays this price, at once, until told otherwise or for a stated time
    free_price     the crowd goes back to its own price, at the next round
    fail_next      the next call of a method gets no answer, before or after it took effect (`Transient`)
    lose_node      a node's power is cut; it stays lost, or boots again after a stated time
    lag_listing    bids stay out of listings for this long after they were placed, until told otherwise
    refuse_quota   the next bids are refused for quota
    relocate       a bid's nodes get a notice, go to another host and boot there from their disks
    set_quota      a project may hold this many instances of a type, until told otherwise

Every one takes a `World` and the time, and is called in a turn of the engine.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from attrs import evolve

from flow_core.domain.allocation import NodeState
from flow_core.domain.bid import BidState
from flow_core.domain.money import Price
from flow_core.domain.shape import InstanceShape
from flow_core.errors import Conflict, FlowError, InvalidRequest, NotFound, QuotaExceeded, Transient
from flow_providers.mock.effects import effect
from flow_providers.mock.prices import TYPES
from flow_providers.mock.rounds import clear_later, clear_now, meter
from flow_providers.mock.rows import FaultRow, MarketRow, QuotaRow
from flow_providers.mock.rules import Rules
from flow_providers.mock.world import World

BEFORE, AFTER, QUOTA = "before", "after", "quota"
#: What `fail_next` may name: the methods of the roles that ask the engine.
METHODS = (
    "quotes",
    "place",
    "bid",
    "bids",
    "amend",
    "withdraw",
    "allocations",
    "reports",
    "read",
    "create",
    "volumes",
    "attach",
    "delete",
    "usage",
    "history",
    "people",
)


def outbid(
    world: World, rules: Rules, now: datetime, bid_id: str, *, lasts: timedelta | None = None
) -> Price:
    """Have a rival offer more than a bid's limit, and return what it offers.

    Raises:
        NotFound: no live bid has that id.
    """
    bid = world.bids.held(bid_id)
    market = world.markets.held(bid.market) if bid is not None else None
    if bid is None or market is None:
        raise NotFound(f"no live bid is called {bid_id!r}")
    price = max(Price.from_cents(bid.limit.to_cents() + 1), market.crowd_price)
    lasts = lasts if lasts is not None else rules.notice + timedelta(seconds=rules.outbid_s)
    world.markets.put(evolve(market, forced=price, forced_since=now, forced_until=now + lasts))
    clear_now(world, rules, market.id, now)
    return price


def set_price(
    world: World,
    rules: Rules,
    now: datetime,
    price: Price,
    *,
    region: str | None = None,
    shape: InstanceShape | None = None,
    lasts: timedelta | None = None,
) -> int:
    """Set the crowd's price in every market that matches, and return in how many.

    Raises:
        NotFound: no market matches.
    """
    found = _matching(world, region, shape)
    until = now + lasts if lasts is not None else None
    for market in found:
        since = market.crowd_price_since if market.crowd_price == price else now
        world.markets.put(evolve(market, forced=price, forced_since=since, forced_until=until))
        clear_now(world, rules, market.id, now)
    return len(found)


def free_price(
    world: World,
    rules: Rules,
    now: datetime,
    *,
    region: str | None = None,
    shape: InstanceShape | None = None,
) -> int:
    """Let the crowd pay what it likes again, and return in how many markets.

    Raises:
        NotFound: no market matches.
    """
    found = _matching(world, region, shape)
    for market in found:
        world.markets.put(
            evolve(market, forced=None, forced_since=None, forced_until=None, crowd_since=now)
        )
        clear_later(world, rules, market.id, now)
    return len(found)


def fail_next(world: World, method: str, *, after: bool = False, times: int = 1) -> None:
    """Let the next calls of a role's method go unanswered.

    Raises:
        InvalidRequest: no method is called that.
    """
    if method not in METHODS:
        raise InvalidRequest(
            {"method": f"{method!r} is no call that can fail; there are {', '.join(METHODS)}"}
        )
    _add(world, method, AFTER if after else BEFORE, times)


def refuse_quota(world: World, *, times: int = 1) -> None:
    """Refuse the next bids for quota."""
    _add(world, "place", QUOTA, times)


def set_quota(world: World, type_name: str, most: int | None) -> None:
    """Let a project hold at most this many instances of a type; None for as many as there are."""
    if most is None:
        world.quotas.drop(type_name)
    else:
        world.quotas.put(QuotaRow(id=type_name, most=most))


def lag_listing(world: World, seconds: float) -> None:
    """Keep new bids out of listings for this long after they were placed; 0 ends it."""
    world.metas.put(evolve(world.meta, lag_s=max(seconds, 0.0)))


def lose_node(
    world: World,
    rules: Rules,
    now: datetime,
    bid_id: str,
    rank: int,
    *,
    back_after: timedelta | None = None,
) -> str:
    """Cut a node's power, and return its id.

    Raises:
        NotFound: the bid has no such node.
        Conflict: the node isn't up.
    """
    bid = world.bids.held(bid_id)
    node = next((each for each in world.nodes.in_group(bid_id) if each.rank == rank), None)
    if bid is None or node is None:
        raise NotFound(f"{bid_id!r} has no node {rank} now")
    if node.state not in (NodeState.STARTING, NodeState.RUNNING, NodeState.LEAVING):
        raise Conflict(
            f"node {rank} of {bid.name!r} is {node.state.value}; only one that is up can be lost"
        )
    back = now + back_after if back_after is not None else None
    world.nodes.put(evolve(node, state=NodeState.LOST, since=now, is_booted=False, changes_at=back))
    effect(world, "lose", node.id, now)
    meter(world, rules, bid, now)
    return node.id


def relocate(world: World, rules: Rules, now: datetime, bid_id: str) -> datetime:
    """Have a bid's nodes go to another host, and return when they stop here.

    Raises:
        NotFound: no live bid has that id.
        Conflict: it doesn't hold its nodes undisturbed.
    """
    bid = world.bids.held(bid_id)
    if bid is None:
        raise NotFound(f"no live bid is called {bid_id!r}")
    if bid.state is not BidState.ALLOCATED:
        raise Conflict(f"{bid.name!r} is {bid.state.value}; only an allocated bid can be relocated")
    deadline = now + rules.notice
    world.bids.put(evolve(bid, state=BidState.RELOCATING, notice_ends=deadline))
    for node in world.nodes.in_group(bid_id):
        if node.state in (NodeState.STARTING, NodeState.RUNNING):
            world.nodes.put(evolve(node, state=NodeState.LEAVING, since=now, is_moving=True))
            if node.is_booted:
                effect(world, "notify", node.id, now, deadline)
    return deadline


def take(world: World, method: str | None) -> FaultRow | None:
    """Return the fault that waited for this call, used up by one, or None."""
    waiting = world.faults.named(method) if method is not None else []
    if not waiting:
        return None
    fault = waiting[0]
    if fault.times > 1:
        world.faults.put(evolve(fault, times=fault.times - 1))
    else:
        world.faults.drop(fault.id)
    return fault


def waits(world: World, method: str) -> bool:
    """Whether a fault waits for calls of this method."""
    return bool(world.faults.named(method))


def trouble(fault: FaultRow) -> FlowError:
    """Return what a fault makes its call raise."""
    if fault.kind == QUOTA:
        return QuotaExceeded(
            "the quota of this project is used up",
            hint="this refusal was asked for: `flow mock refuse-quota`",
        )
    return Transient(
        f"the pretend cloud gave no answer to {fault.method!r}",
        hint="this silence was asked for: `flow mock fail-next`",
    )


def _add(world: World, method: str, kind: str, times: int) -> None:
    if times < 1:
        raise InvalidRequest({"times": f"{times} times is never; say 1 or more"})
    number = world.draw()
    world.faults.put(FaultRow(id=f"{number}", number=number, method=method, kind=kind, times=times))


def _matching(world: World, region: str | None, shape: InstanceShape | None) -> list[MarketRow]:
    found = [
        market
        for market in world.markets.live()
        if (region is None or market.region == region)
        and (shape is None or shape.matches(TYPES[market.type_name].shape, type_id=market.type_id))
    ]
    if not found:
        asked = " ".join(str(each) for each in (shape, region and f"in {region}") if each)
        raise NotFound(
            f"no market offers {asked}", hint="`flow price` lists what is on offer, and where"
        )
    return found
