"""What is on offer: instance types joined with markets, and each market's floor.

One type *name* may stand for several ids, each with markets of its own, so quotes go by id and region. Types come from
/v2/instance-types, markets with their last price from /v2/spot/availability, floors and totals from
/v2/pricing/current, one request a market. A market whose type is not in the list makes the list be read anew, once; a
shape for which no market is listed is asked about in every known region, since active types have been seen missing
from both lists. Source: contract, gotchas 1 to 4.

What we don't like: whether a market's `capacity` counts free instances or all of them is documented nowhere. It is
taken for the free ones, unless /v2/pricing/current tells that number itself.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from attrs import frozen

from flow_core.domain.bid import Quote
from flow_core.domain.money import Price
from flow_core.domain.shape import InstanceShape
from flow_core.errors import NotFound, Transient
from flow_core.ports.clock import Clock
from flow_providers.mithril import wire
from flow_providers.mithril.client import Client
from flow_providers.mithril.shapes import shape_of

TYPES_AGE = timedelta(minutes=10)
MARKETS_AGE = timedelta(seconds=10)
PRICES_AGE = timedelta(minutes=1)

Held = TypeVar("Held")


@frozen
class _Kept(Generic[Held]):
    value: Held
    at: datetime


@frozen(kw_only=True)
class Prices:
    """What /v2/pricing/current tells of one market."""

    floor: Price = Price.ZERO
    price: Price | None = None
    available: int | None = None
    capacity: int | None = None


class Offers:
    """Knows types, markets and prices, each kept for a while; ages are measured on `clock`, the server's."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._lock = threading.RLock()
        self._types: _Kept[dict[str, InstanceShape]] | None = None
        self._ever: dict[str, InstanceShape] = {}
        self._markets: _Kept[list[wire.Auction]] | None = None
        self._prices: dict[tuple[str, str], _Kept[Prices | None]] = {}

    def quotes(self, shape: InstanceShape | None = None) -> list[Quote]:
        """Return a quote for each market of `shape`, or for all."""
        kept = self._all_markets()
        shapes = self._all_shapes(kept.value)
        fitting = [
            each
            for each in kept.value
            if each.instance_type in shapes
            and (
                shape is None
                or shape.matches(shapes[each.instance_type], type_id=each.instance_type)
            )
        ]
        if shape is not None and not fitting:
            return self._unlisted(shape, shapes, kept.value)
        prices = self._client.side_by_side(
            lambda each: self._prices_if_told(each.instance_type, each.region), fitting
        )
        return [
            _quote(market, shapes[market.instance_type], told, kept.at)
            for market, told in zip(fitting, prices, strict=True)
        ]

    def prices(self, type_id: str, region: str) -> Prices | None:
        """Return what a market's prices are, at most a minute old; None when there is no such market."""
        key = (type_id, region)
        kept = self._prices.get(key)
        if kept is None or self._clock.now() - kept.at > PRICES_AGE:
            kept = _Kept(self._ask_prices(type_id, region), self._clock.now())
            self._prices[key] = kept
        return kept.value

    def shape(self, type_id: str) -> InstanceShape:
        """Return a type's shape, which never changes; one that is in no list is called by its id."""
        if (known := self._ever.get(type_id)) is not None:
            return known
        with self._lock:
            shapes = self._all_shapes([])
            if type_id and type_id not in shapes:
                shapes = self._all_shapes([wire.Auction(instance_type=type_id, region="")])
            return shapes.get(type_id) or InstanceShape(type_id.lower() or "unknown", 1)

    def regions(self) -> list[str]:
        """Return every region that has a market."""
        return sorted({each.region for each in self._all_markets().value})

    def has_market(self, type_id: str, region: str) -> bool:
        """Whether this type is on offer in this region."""
        return any(
            (each.instance_type, each.region) == (type_id, region)
            for each in self._all_markets().value
        )

    def _all_markets(self) -> _Kept[list[wire.Auction]]:
        with self._lock:
            if self._markets is None or self._clock.now() - self._markets.at > MARKETS_AGE:
                found = self._client.listed("list markets", wire.Auction, "/v2/spot/availability")
                self._markets = _Kept(found, self._clock.now())
            return self._markets

    def _all_shapes(self, markets: Sequence[wire.Auction]) -> dict[str, InstanceShape]:
        """Return the shape of each type, read anew when they are old or a market's type is not among them."""
        with self._lock:
            now = self._clock.now()
            if self._types is None or now - self._types.at > TYPES_AGE:
                return self._read_shapes()
            missing = {each.instance_type for each in markets} - set(self._types.value)
            # What is missing just after reading stays missing; don't read again for every question.
            if missing and now - self._types.at > MARKETS_AGE:
                return self._read_shapes()
            return self._types.value

    def _read_shapes(self) -> dict[str, InstanceShape]:
        kinds = self._client.listed("list instance types", wire.InstanceType, "/v2/instance-types")
        self._types = _Kept({each.fid: shape_of(each) for each in kinds}, self._clock.now())
        self._ever |= self._types.value
        return self._types.value

    def _unlisted(
        self,
        shape: InstanceShape,
        shapes: dict[str, InstanceShape],
        markets: Sequence[wire.Auction],
    ) -> list[Quote]:
        """Return quotes of types that match but have no market in the list, where their prices are told."""
        regions = sorted({each.region for each in markets})
        if shape.type_id is not None:
            shapes = {shape.type_id: self.shape(shape.type_id)}
        asked = [
            (type_id, region)
            for type_id, offered in shapes.items()
            if shape.matches(offered, type_id=type_id)
            for region in regions
        ]
        told = self._client.side_by_side(lambda each: self._prices_if_told(*each), asked)
        return [
            _quote(
                wire.Auction(instance_type=type_id, region=region),
                shapes[type_id],
                prices,
                self._clock.now(),
            )
            for (type_id, region), prices in zip(asked, told, strict=True)
            if prices is not None and prices.price is not None
        ]

    def _prices_if_told(self, type_id: str, region: str) -> Prices | None:
        """Return a market's prices; trouble with one market must not hide the others."""
        try:
            return self.prices(type_id, region)
        except Transient:
            return None

    def _ask_prices(self, type_id: str, region: str) -> Prices | None:
        try:
            told = self._client.read(
                "read prices",
                wire.CurrentPrices,
                "/v2/pricing/current",
                {"instance_type": type_id, "region": region},
            )
        except NotFound:
            return None
        return Prices(
            floor=_cents(told.minimum_price_cents) or Price.ZERO,
            price=_cents(told.spot_price_cents),
            available=told.available_capacity,
            capacity=told.total_capacity,
        )


def _quote(
    market: wire.Auction, shape: InstanceShape, told: Prices | None, as_of: datetime
) -> Quote:
    prices = told or Prices()
    listed = market.last_instance_price
    price = listed if listed is not None else prices.price
    available = prices.available if prices.available is not None else market.capacity
    return Quote(
        type_id=market.instance_type,
        shape=shape,
        region=market.region,
        price=max(price or prices.floor, prices.floor),
        floor=prices.floor,
        as_of=as_of,
        available=available,
        capacity=prices.capacity,
        source="spot availability" if listed is not None else "current prices",
    )


def _cents(cents: int | None) -> Price | None:
    return Price.from_cents(cents) if cents is not None and cents >= 0 else None
