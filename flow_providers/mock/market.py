"""The market role of the in-process door: a thin face of `bidding`, in turns of the engine."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from attrs import evolve

from flow_core.domain.bid import Bid, BidRequest, Quote
from flow_core.domain.money import Price
from flow_core.domain.shape import InstanceShape
from flow_core.errors import InvalidRequest, NotFound
from flow_providers.mock import bidding
from flow_providers.mock.engine import Engine
from flow_providers.mock.prices import TYPES
from flow_providers.mock.rows import BidRow
from flow_providers.mock.world import World

#: What says yes as an option's value.
YES = frozenset({"yes", "true", "on", "1"})


class PretendMarket:
    """Implements `ports.market.Market`; `engine` is there for faults and for `flow mock`."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def quotes(self, shape: InstanceShape | None = None) -> Sequence[Quote]:
        """See `Market.quotes`."""

        def read(world: World, now: datetime) -> list[Quote]:
            return [
                Quote(
                    type_id=each.type_id,
                    shape=offered,
                    region=each.region,
                    price=each.price,
                    floor=each.floor,
                    as_of=now,
                    available=bidding.free_instances(world, each),
                    capacity=each.capacity,
                    source="the pretend market",
                )
                for each in world.markets.live()
                if shape is None or shape.matches(TYPES[each.type_name].shape, type_id=each.type_id)
                for offered in (TYPES[each.type_name].shape,)
            ]

        return self.engine.look("quotes", read)

    def place(self, request: BidRequest) -> Bid:
        """See `Market.place`."""
        problem = self.engine.host.mount_problem(request.launch.attachments)
        if problem and request.launch.options.get("mount_links") not in YES:
            raise InvalidRequest(
                {"mounts": problem},
                hint="`--mount-links` gives mounts as links below $FLOW_MOUNTS instead",
            )

        def act(world: World, now: datetime) -> Bid:
            meta = world.meta
            offer = bidding.Offer(
                name=request.name,
                type_id=request.type_id,
                region=request.region,
                quantity=request.quantity,
                limit=request.limit,
                launch=request.launch,
                owner=meta.me,
                project=meta.project,
            )
            return _bid(world, bidding.place(world, self.engine.rules, now, offer))

        return self.engine.change("place", act)

    def bid(self, bid_id: str) -> Bid:
        """See `Market.bid`."""

        def read(world: World, _: datetime) -> Bid:
            row = world.bids.get(bid_id)
            if row is None:
                raise NotFound(f"no bid has the id {bid_id!r}")
            launch = world.launches.get(row.id)
            return evolve(_bid(world, row), script=launch.script if launch is not None else "")

        return self.engine.look("bid", read)

    def bids(
        self, *, name: str | None = None, ids: Collection[str] | None = None, live: bool = False
    ) -> Sequence[Bid]:
        """See `Market.bids`."""
        if ids is not None and not ids:
            return []

        def read(world: World, now: datetime) -> list[Bid]:
            if ids is not None:
                rows = world.bids.find(ids)
            elif name is not None:
                rows = world.bids.named(name) if live else world.bids.labelled(name)
            else:
                rows = world.bids.live() if live else world.bids.all()
            shown = now - timedelta(seconds=world.meta.lag_s)
            mine = world.meta.project
            return [
                _bid(world, row)
                for row in reversed(rows)
                if row.project == mine
                and (name is None or row.name == name)
                and (row.is_live or not live)
                and (row.created_at <= shown or not world.meta.lag_s)
            ]

        return self.engine.look("bids", read)

    def amend(self, bid_id: str, *, limit: Price | None = None, paused: bool | None = None) -> Bid:
        """See `Market.amend`."""

        def act(world: World, now: datetime) -> Bid:
            return _bid(
                world,
                bidding.amend(world, self.engine.rules, now, bid_id, limit=limit, paused=paused),
            )

        return self.engine.change("amend", act)

    def withdraw(self, bid_id: str) -> None:
        """See `Market.withdraw`."""
        self.engine.change(
            "withdraw", lambda world, now: bidding.withdraw(world, self.engine.rules, now, bid_id)
        )


def _bid(world: World, row: BidRow) -> Bid:
    market = world.markets.held(row.market)
    if market is None:
        raise LookupError(row.market)
    return Bid(
        id=row.id,
        name=row.name,
        state=row.state,
        shape=TYPES[market.type_name].shape,
        region=market.region,
        quantity=row.quantity,
        limit=row.limit,
        created_at=row.created_at,
        ended_at=row.ended_at,
        owner=row.owner,
        type_id=market.type_id,
        detail=row.detail,
    )
