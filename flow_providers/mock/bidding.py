"""What bidders may do in a world: place, amend, withdraw; with every rule about what is refused.

Each function is called in a turn of the engine, and refuses before it changes anything.
"""

from __future__ import annotations

from datetime import datetime

from attrs import evolve, frozen

from flow_core.domain.allocation import NodeState
from flow_core.domain.bid import BidState, Launch
from flow_core.domain.money import Price
from flow_core.domain.volume import Attachment, Interface
from flow_core.errors import (
    Conflict,
    FlowError,
    InUse,
    InvalidRequest,
    NameTaken,
    NoCapacity,
    NotFound,
    PriceTooLow,
    QuotaExceeded,
)
from flow_providers.mock.rounds import clear_later, clear_now, held_of_type, stop_nodes
from flow_providers.mock.rows import BidRow, LaunchRow, MarketRow, VolumeRow
from flow_providers.mock.rules import OverQuota, Rules, SameName
from flow_providers.mock.world import World


@frozen(kw_only=True)
class Offer:
    """A bid as a door hands it in: `owner` and `project` are ids."""

    name: str
    type_id: str
    region: str
    quantity: int
    limit: Price
    launch: Launch
    owner: str
    project: str


def place(world: World, rules: Rules, now: datetime, offer: Offer) -> BidRow:
    """Enter a bid, and return it; a live bid of that name is returned or refused as the rules say.

    Raises:
        NoCapacity, PriceTooLow, QuotaExceeded, InvalidRequest, NameTaken: see `ports.market.Market.place`.
    """
    namesake = next(
        (bid for bid in world.bids.named(offer.name) if bid.project == offer.project), None
    )
    if namesake is not None and rules.same_name is SameName.FIRST:
        return namesake
    if namesake is not None and rules.same_name is SameName.REFUSE:
        raise NameTaken(f"a live bid is called {offer.name!r}")
    market = _market_for(world, offer)
    _check_volumes(world, offer)
    _check_quota(world, rules, market, offer)
    number = world.draw()
    bid = BidRow(
        id=world.new_id("bid"),
        number=number,
        name=offer.name,
        market=market.id,
        owner=offer.owner,
        project=offer.project,
        state=BidState.OPEN,
        quantity=offer.quantity,
        limit=offer.limit,
        place=number,
        placed_at=now,
        created_at=now,
        volumes=tuple(each.volume_id for each in offer.launch.attachments),
    )
    world.bids.put(bid)
    world.launches.put(
        LaunchRow(
            id=bid.id,
            script=offer.launch.script,
            image=offer.launch.image,
            keys=offer.launch.keys,
            attachments=offer.launch.attachments,
        )
    )
    clear_later(world, rules, market.id, now)
    return bid


def amend(
    world: World,
    rules: Rules,
    now: datetime,
    bid_id: str,
    *,
    limit: Price | None = None,
    paused: bool | None = None,
) -> BidRow:
    """Change a live bid, and return it.

    Raises:
        NotFound, Conflict, PriceTooLow: see `ports.market.Market.amend`.
    """
    bid = _live(world, bid_id)
    market = _held_market(world, bid.market)
    if limit is not None:
        _check_floor(market, limit)
    changed = False
    if limit is not None and limit != bid.limit:
        place, placed_at = bid.place, bid.placed_at
        if not rules.amend_keeps_place:
            place, placed_at = world.draw(), now
        bid = world.bids.put(evolve(bid, limit=limit, place=place, placed_at=placed_at))
        changed = True
    if paused is True and bid.state is not BidState.PAUSED:
        bid = world.bids.put(evolve(bid, state=BidState.PAUSED, notice_ends=None))
        stop_nodes(world, rules, bid, now, NodeState.STOPPED)
        changed = True
    elif paused is False and bid.state is BidState.PAUSED:
        bid = world.bids.put(evolve(bid, state=BidState.OPEN))
        changed = True
    if changed and rules.amend_at_once:
        clear_now(world, rules, market.id, now)
    elif changed:
        clear_later(world, rules, market.id, now)
    return world.bids.held(bid_id) or bid


def attach(world: World, bid_id: str, attachment: Attachment) -> None:
    """Have a paused bid's nodes have a volume from their next start on; see `ports.volumes.Volumes.attach`."""
    bid = _live(world, bid_id)
    volume = world.volumes.held(attachment.volume_id)
    if volume is None:
        raise NotFound(f"no volume has the id {attachment.volume_id!r}")
    if volume.id in bid.volumes:
        return
    if bid.state is not BidState.PAUSED:
        raise Conflict(f"bid {bid.name!r} must be paused to be given a volume")
    problem = _volume_problem(
        volume, region=_held_market(world, bid.market).region, quantity=bid.quantity
    )
    if problem:
        raise InvalidRequest({"mounts": problem})
    users = attached_to(world, volume.id)
    if volume.interface is Interface.BLOCK and users:
        raise InUse(f"volume {volume.name!r} is block storage, which {users[0]} has already")
    launch = world.launches.get(bid.id) or LaunchRow(id=bid.id, script="")
    world.launches.put(evolve(launch, attachments=(*launch.attachments, attachment)))
    world.bids.put(evolve(bid, volumes=(*bid.volumes, volume.id)))


def withdraw(world: World, rules: Rules, now: datetime, bid_id: str) -> None:
    """End a bid; ended and unknown ones are left as they are."""
    bid = world.bids.held(bid_id)
    if bid is None:
        return
    bid = world.bids.put(evolve(bid, state=BidState.TERMINATED, ended_at=now, notice_ends=None))
    stop_nodes(world, rules, bid, now, NodeState.GONE)
    for stretch in world.stretches.in_group(bid.id):
        world.stretches.put(evolve(stretch, is_kept=False))
    clear_later(world, rules, bid.market, now)


def free_instances(world: World, market: MarketRow) -> int:
    """Return how many instances could be granted now: what others and our own bids leave."""
    held = sum(bid.quantity for bid in world.bids.each_of(market.id) if bid.is_holding)
    return max(market.capacity - market.taken - held, 0)


def _market_for(world: World, offer: Offer) -> MarketRow:
    found = [
        each
        for each in world.markets.live()
        if offer.type_id in (each.type_id, each.type_name) and each.region == offer.region
    ]
    if not found:
        raise NoCapacity(
            f"{offer.region} offers no instance type {offer.type_id!r}",
            hint="`flow price` lists what is on offer, and where",
        )
    market = found[0]
    if offer.quantity < 1:
        raise InvalidRequest(
            {"num_instances": f"{offer.quantity} instances can't be asked for; the least is 1"}
        )
    if offer.quantity > market.capacity:
        raise NoCapacity(
            f"{market.region} has {market.capacity} of {market.type_name} in all, not {offer.quantity}"
        )
    _check_floor(market, offer.limit)
    return market


def _check_floor(market: MarketRow, limit: Price) -> None:
    if limit < market.floor:
        raise PriceTooLow(
            f"a limit of {limit}/hr is under the least that {market.region} accepts"
            f" for {market.type_name}: {market.floor}/hr",
            hint=f"bid at least {market.floor}",
        )


def _check_volumes(world: World, offer: Offer) -> None:
    problems: list[str] = []
    for each in offer.launch.attachments:
        volume = world.volumes.held(each.volume_id)
        if volume is None:
            problems.append(f"no volume has the id {each.volume_id!r} ({each.path})")
        elif problem := _volume_problem(volume, region=offer.region, quantity=offer.quantity):
            problems.append(problem)
        elif volume.interface is Interface.BLOCK and (users := attached_to(world, volume.id)):
            problems.append(
                f"volume {volume.name!r} is block storage, which {users[0]} has already"
            )
    if problems:
        raise InvalidRequest(
            {"mounts": "; ".join(problems)},
            hint="`flow volume list` shows what there is, and where",
        )


def _volume_problem(volume: VolumeRow, *, region: str, quantity: int) -> str | None:
    if volume.region != region:
        return f"volume {volume.name!r} lies in {volume.region}, the nodes in {region}"
    if volume.interface is Interface.BLOCK and quantity > 1:
        return (
            f"volume {volume.name!r} is block storage, which one instance can have, not {quantity}"
        )
    return None


def attached_to(world: World, volume_id: str) -> list[str]:
    """Return the ids of the live bids whose nodes mount a volume."""
    return [bid.id for bid in world.bids.live() if volume_id in bid.volumes]


def _check_quota(world: World, rules: Rules, market: MarketRow, offer: Offer) -> None:
    quota = world.quotas.held(market.type_name)
    if quota is None or rules.over_quota is OverQuota.WAIT:
        return
    asked = held_of_type(world, market.type_name, offer.project, asked=True) + offer.quantity
    if asked > quota.most:
        raise _over(market.type_name, asked, quota.most)


def _over(type_name: str, asked: int, most: int) -> FlowError:
    return QuotaExceeded(
        f"the project may hold {most} of {type_name}, and would ask for {asked}",
        hint="end something, or ask for a larger quota",
    )


def _live(world: World, bid_id: str) -> BidRow:
    bid = world.bids.held(bid_id)
    if bid is not None:
        return bid
    ended = world.bids.get(bid_id)
    if ended is None:
        raise NotFound(f"no bid has the id {bid_id!r}")
    raise Conflict(f"bid {ended.name!r} has ended", hint="place another")


def _held_market(world: World, market_id: str) -> MarketRow:
    market = world.markets.held(market_id)
    if market is None:
        raise LookupError(market_id)
    return market
