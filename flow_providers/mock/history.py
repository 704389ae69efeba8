"""The roles of the in-process door that look back, and around: usage, catalog, account."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from flow_core.domain.budget import Usage
from flow_core.domain.money import Price
from flow_core.domain.people import Person
from flow_core.errors import NotFound
from flow_core.ports.catalog import PricePoint
from flow_providers.mock.engine import Engine
from flow_providers.mock.past import past_of
from flow_providers.mock.rows import StretchRow
from flow_providers.mock.world import World

#: How many points of a price history are told at most.
MOST_POINTS = 500
#: When a price changed, and what it was from then on.
Change = tuple[datetime, Price]


class PretendUsage:
    """Implements `ports.usage.UsageHistory`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def usage(self, bid_ids: Collection[str]) -> Mapping[str, Sequence[Usage]]:
        """See `UsageHistory.usage`."""
        rows = self._engine.look("usage", lambda world, _: _stretches(world, bid_ids))
        found: dict[str, list[Usage]] = {bid_id: [] for bid_id in bid_ids}
        for row in rows:
            found[row.bid].append(
                Usage(
                    bid_id=row.bid,
                    nodes=row.nodes,
                    price=row.price,
                    since=row.since,
                    until=row.until,
                )
            )
        return found


class PretendCatalog:
    """Implements `ports.catalog.Catalog`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def history(
        self, type_id: str, *, region: str, since: datetime, until: datetime
    ) -> Sequence[PricePoint]:
        """See `Catalog.history`. At most MOST_POINTS points: of a longer history, evenly many of each part."""

        def read(world: World, _: datetime) -> list[PricePoint]:
            market = next(
                (
                    each
                    for each in world.markets.live()
                    if each.region == region and type_id in (each.type_id, each.type_name)
                ),
                None,
            )
            if market is None:
                raise NotFound(
                    f"{region} offers no instance type {type_id!r}",
                    hint="`flow price` lists what is on offer",
                )
            past = past_of(market, world.meta, self._engine.rules, since=since)
            changes = [*past, *((row.at, row.price) for row in world.prices.of([market.id]))]
            told = [(at, price) for at, price in changes if at < until]
            before = [price for at, price in told if at <= since]
            shown = [(since, before[-1])] if before else []
            shown += [(at, price) for at, price in told if at > since]
            return [
                PricePoint(type_id=market.type_id, region=region, at=at, price=price)
                for at, price in _thinned(shown)
            ]

        return self._engine.look("history", read)


class PretendAccount:
    """Implements `ports.account.Account`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def me(self) -> Person:
        """See `Account.me`."""
        return self._engine.look(
            None, lambda world, _: Person(id=world.meta.me, name=world.meta.user)
        )

    def people(self) -> Sequence[Person]:
        """See `Account.people`."""
        return self._engine.look(
            "people", lambda world, _: [Person(id=world.meta.me, name=world.meta.user)]
        )


def _thinned(changes: list[Change]) -> list[Change]:
    if len(changes) <= MOST_POINTS:
        return changes
    step = (len(changes) - 1) / (MOST_POINTS - 1)
    return [changes[round(place * step)] for place in range(MOST_POINTS)]


def _stretches(world: World, bid_ids: Collection[str]) -> list[StretchRow]:
    """Return the paid stretches of these bids, by bid and time; those of live bids without asking the archive."""
    near = [bid_id for bid_id in bid_ids if world.bids.held(bid_id) is not None]
    far = set(bid_ids) - set(near)
    rows = [row for bid_id in near for row in world.stretches.in_group(bid_id)]
    return rows + (world.stretches.of(far) if far else [])
