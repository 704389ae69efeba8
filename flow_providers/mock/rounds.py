"""What happens in a world by itself: boots end, notices end, crowds move, markets clear; in order of time.

Pure over a `World`: rows in, rows out, and a list of effects for whoever plays the nodes. Theory:

*Other bidders.* A market's crowd takes, at its own price, whatever is left, so it is a reserve to the auction; a bid
at exactly that price wins only if it was there first, since ties go by submission. Further `taken` instances are out
of reach. Both keep the cost of a round independent of how many rivals we pretend.

*Notices hold instances.* A bid under notice still has its nodes. Whoever beat it is served when they are free: at the
first round after the notice. Until then it stays open although it has won, and the capacity is never exceeded.

*Idle rounds are skipped.* Nothing in a market changes between two rounds unless someone asked for a change or the
crowd moved; so a round is planned (`clears_at`) only then, always on the common grid of ticks.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import datetime, timedelta

from attrs import evolve

from flow_core.domain.allocation import NodeState
from flow_core.domain.auction import Order, clear
from flow_core.domain.bid import BidState
from flow_core.domain.money import Price
from flow_providers.mock.effects import boot_again, effect
from flow_providers.mock.estate import terms
from flow_providers.mock.prices import wandered
from flow_providers.mock.rows import BidRow, MarketRow, NodeRow, PriceRow, StretchRow
from flow_providers.mock.rules import OverQuota, Rules
from flow_providers.mock.world import World

#: Allocations that share a host each have a rendezvous port, below the range that systems hand out by themselves.
FIRST_PORT, PORTS = 20_000, 10_000
_UP = (NodeState.RUNNING, NodeState.LEAVING)


def catch_up(world: World, rules: Rules, now: datetime) -> None:
    """Let everything happen that is due by `now`."""
    while (due := world.next_due()) is not None and due <= now:
        world.at = due
        _step(world, rules, due)
    world.at = now


def clear_later(world: World, rules: Rules, market_id: str, at: datetime) -> None:
    """Have a market look at its bids in its next round."""
    market = _market(world, market_id)
    planned = rules.next_round(at)
    if market.clears_at is None or market.clears_at > planned:
        world.markets.put(evolve(market, clears_at=planned))


def clear_now(world: World, rules: Rules, market_id: str, at: datetime) -> None:
    """Hold a round: grant, give notice, rescue, and set the price."""
    market = _market(world, market_id)
    bids = [bid for bid in world.bids.in_group(market_id) if bid.state is not BidState.PAUSED]
    ranked = _competing(world, rules, market, bids)
    result = clear(
        [Order(bid.id, bid.limit, bid.quantity, bid.place) for bid in ranked],
        capacity=max(market.capacity - market.taken, 0),
        reserve=market.crowd_price,
        price_rule=rules.price_rule,
    )
    _set_price(world, market, result.price, result.lowest_allocated, at)
    for bid in bids:
        if bid.id not in result.winners and bid.state is BidState.ALLOCATED:
            _give_notice(world, rules, bid, at)
        elif bid.id in result.winners and bid.state is BidState.PREEMPTING:
            _rescue(world, bid, at)
    free = market.capacity - market.taken
    free -= sum(bid.quantity for bid in world.bids.in_group(market_id) if bid.is_holding)
    for bid in ranked:
        if bid.id in result.winners and bid.state is BidState.OPEN and bid.quantity <= free:
            free -= bid.quantity
            _grant(world, rules, bid, at)
    for bid in world.bids.in_group(market_id):
        if bid.is_holding:
            meter(world, rules, bid, at)


def stop_nodes(world: World, rules: Rules, bid: BidRow, at: datetime, state: NodeState) -> None:
    """Take all nodes of `bid` (as it is now) to STOPPED or GONE, and end what is paid."""
    what = "destroy" if state is NodeState.GONE else "stop"
    for node in world.nodes.in_group(bid.id):
        if node.state not in (state, NodeState.GONE):
            is_paused = bid.state is BidState.PAUSED
            world.nodes.put(
                evolve(
                    node,
                    state=state,
                    since=at,
                    is_booted=False,
                    changes_at=None,
                    is_paused=is_paused,
                    is_moving=False,
                )
            )
            effect(world, what, node.id, at)
    meter(world, rules, bid, at)


def meter(world: World, rules: Rules, bid: BidRow, at: datetime) -> None:
    """Close the running stretch of paid time if the price or the number of paid nodes changed, and open the next.

    Who is outbid pays its limit while the notice lasts, never the price that it was not willing to pay.
    """
    paid = 0
    if bid.state in (BidState.ALLOCATED, BidState.RELOCATING) or (
        bid.state is BidState.PREEMPTING and rules.bill_notice
    ):
        paid = sum(node.is_booted and node.state in _UP for node in world.nodes.in_group(bid.id))
    price = min(_market(world, bid.market).price, bid.limit)
    running = next((each for each in world.stretches.in_group(bid.id) if each.until is None), None)
    if running is not None and (running.nodes, running.price) == (paid, price):
        return
    if running is not None and running.since == at:
        world.stretches.drop(running.id)
    elif running is not None:
        world.stretches.put(evolve(running, until=at))
    if paid:
        number = world.draw()
        world.stretches.put(
            StretchRow(
                id=f"{bid.id}/{number}",
                number=number,
                bid=bid.id,
                nodes=paid,
                price=price,
                since=at,
            )
        )


def _step(world: World, rules: Rules, at: datetime) -> None:
    for node in _due(world.nodes.due, at):
        _node_changes(world, rules, node, at)
    for bid_id in _due(world.bids.due, at):
        _notice_ends(world, rules, bid_id, at)
    for reservation_id in _due(world.reservations.due, at):
        terms.come_due(world, rules, reservation_id, at)
    for market_id in sorted(
        _due(world.markets.due, at), key=lambda each: _market(world, each).number
    ):
        _market_changes(world, rules, market_id, at)


def _due(times: dict[str, datetime], at: datetime) -> list[str]:
    return sorted(row_id for row_id, due in times.items() if due <= at)


def _node_changes(world: World, rules: Rules, node_id: str, at: datetime) -> None:
    node = _node(world, node_id)
    if node.state is NodeState.LOST:
        boot_again(world, rules, node, at)
        return
    state = NodeState.RUNNING if node.state is NodeState.STARTING else node.state
    world.nodes.put(evolve(node, state=state, since=at, is_booted=True, changes_at=None))
    effect(world, "boot", node_id, at)
    bid = world.bids.held(node.bid)
    if bid is None:
        return  # A reservation's: paid as a whole, and never under notice.
    if bid.notice_ends is not None:
        effect(world, "notify", node_id, at, bid.notice_ends)
    meter(world, rules, bid, at)


def _notice_ends(world: World, rules: Rules, bid_id: str, at: datetime) -> None:
    bid = _bid(world, bid_id)
    if bid.state is BidState.RELOCATING:
        _arrive(world, rules, bid, at)
        return
    bid = world.bids.put(evolve(bid, state=BidState.OPEN, notice_ends=None))
    stop_nodes(world, rules, bid, at, NodeState.STOPPED)
    clear_later(world, rules, bid.market, at)


def _arrive(world: World, rules: Rules, bid: BidRow, at: datetime) -> None:
    """Start nodes that went to another host; their disks went with them."""
    bid = world.bids.put(evolve(bid, state=BidState.ALLOCATED, notice_ends=None))
    for node in world.nodes.in_group(bid.id):
        if node.is_moving:
            effect(world, "stop", node.id, at)
            boot_again(world, rules, node, at)
    meter(world, rules, bid, at)
    clear_later(world, rules, bid.market, at)


def _market_changes(world: World, rules: Rules, market_id: str, at: datetime) -> None:
    market = _market(world, market_id)
    before = market.crowd_price
    if market.forced_until is not None and market.forced_until <= at:
        market = evolve(market, forced=None, forced_since=None, forced_until=None, crowd_since=at)
    if market.moves_at is not None and market.moves_at <= at:
        moved = wandered(
            market.crowd,
            market=market.id,
            base=market.base,
            floor=market.floor,
            seed=world.meta.seed,
            mood=rules.mood,
            move=int(at.timestamp()),
        )
        since = market.crowd_since if moved == market.crowd else at
        market = evolve(market, crowd=moved, crowd_since=since, moves_at=rules.next_move(at))
    world.markets.put(market)
    if market.crowd_price != before:
        on_grid = (
            at if rules.next_round(at - timedelta(microseconds=1)) == at else rules.next_round(at)
        )
        if market.clears_at is None or market.clears_at > on_grid:
            market = world.markets.put(evolve(market, clears_at=on_grid))
    if market.clears_at is not None and market.clears_at <= at:
        clear_now(world, rules, market_id, at)


def _competing(
    world: World, rules: Rules, market: MarketRow, bids: Iterable[BidRow]
) -> list[BidRow]:
    """Return the bids, best first, that beat the crowd by time where they tie with it, and keep to their quota."""
    crowd = market.crowd_price
    ranked = sorted(bids, key=lambda bid: (-bid.limit.micros, bid.place, bid.id))
    if crowd > market.floor:
        ranked = [
            bid for bid in ranked if bid.limit != crowd or bid.placed_at <= market.crowd_price_since
        ]
    quota = world.quotas.held(market.type_name)
    if quota is None or rules.over_quota is not OverQuota.WAIT:
        return ranked
    room: dict[str, int] = {}
    found = []
    for bid in ranked:
        if not bid.is_holding:
            held = held_of_type(world, market.type_name, bid.project)
            room[bid.project] = room.get(bid.project, quota.most - held) - bid.quantity
        if bid.is_holding or room[bid.project] >= 0:
            found.append(bid)
    return found


def held_of_type(world: World, type_name: str, project: str, *, asked: bool = False) -> int:
    """Return how many instances of a type a project holds; with `asked`, those its open bids ask for count too."""
    total = 0
    for market in world.markets.live():
        if market.type_name == type_name:
            bids: Iterable[BidRow] = world.bids.in_group(market.id)
            total += sum(
                bid.quantity for bid in bids if bid.project == project and (asked or bid.is_holding)
            )
    return total


def _set_price(
    world: World, market: MarketRow, price: Price, lowest: Price | None, at: datetime
) -> None:
    if price != market.price:
        number = world.draw()
        world.prices.put(
            PriceRow(id=f"{number}", number=number, market=market.id, at=at, price=price)
        )
    world.markets.put(evolve(market, price=price, lowest_allocated=lowest, clears_at=None))


def _give_notice(world: World, rules: Rules, bid: BidRow, at: datetime) -> None:
    deadline = at + rules.notice
    world.bids.put(evolve(bid, state=BidState.PREEMPTING, notice_ends=deadline))
    for node in world.nodes.in_group(bid.id):
        if node.state in (NodeState.STARTING, NodeState.RUNNING):
            world.nodes.put(evolve(node, state=NodeState.LEAVING, since=at))
            if node.is_booted:
                effect(world, "notify", node.id, at, deadline)


def _rescue(world: World, bid: BidRow, at: datetime) -> None:
    world.bids.put(evolve(bid, state=BidState.ALLOCATED, notice_ends=None))
    for node in world.nodes.in_group(bid.id):
        if node.state is NodeState.LEAVING:
            state = NodeState.RUNNING if node.is_booted else NodeState.STARTING
            world.nodes.put(evolve(node, state=state, since=at))
            if node.is_booted:
                effect(world, "notify", node.id, at)


def _grant(world: World, rules: Rules, bid: BidRow, at: datetime) -> None:
    world.bids.put(evolve(bid, state=BidState.ALLOCATED, port=_free_port(world)))
    nodes = world.nodes.in_group(bid.id)
    for node in nodes:
        boot_again(world, rules, node, at)
    for rank in range(len(nodes), bid.quantity):
        node = NodeRow(
            id=world.new_id("inst"),
            number=rank,
            bid=bid.id,
            rank=rank,
            state=NodeState.STARTING,
            since=at,
            changes_at=at + rules.boot,
            created_at=at,
        )
        world.nodes.put(node)


def _free_port(world: World) -> int:
    """Draw a port that no live allocation has; more than a thousand don't fit on one host anyway.

    It comes from the seed: pretend clouds side by side on one machine would else all begin with the same one, and a
    job's ranks meet another's.
    """
    used = {bid.port for bid in world.bids.live()} if world.bids.count() < 1_000 else set()
    port = FIRST_PORT + random.Random(f"{world.meta.seed}/port/{world.draw()}").randrange(PORTS)
    while port in used:
        port = FIRST_PORT + (port + 1 - FIRST_PORT) % PORTS
    return port


def _node(world: World, node_id: str) -> NodeRow:
    node = world.nodes.held(node_id)
    if node is None:
        raise LookupError(node_id)
    return node


def _bid(world: World, bid_id: str) -> BidRow:
    bid = world.bids.held(bid_id)
    if bid is None:
        raise LookupError(bid_id)
    return bid


def _market(world: World, market_id: str) -> MarketRow:
    market = world.markets.held(market_id)
    if market is None:
        raise LookupError(market_id)
    return market
