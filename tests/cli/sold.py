"""Reservations of a pretend cloud, sold for tests: a role that keeps what it sold, and charges as it says."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from attrs import define, evolve, field

from flow_core.domain.money import Price, Spend
from flow_core.domain.reservation import (
    Offer,
    Reservation,
    ReservationRequest,
    ReservationState,
    Term,
)
from flow_core.errors import Conflict, NoCapacity, NotFound, PriceTooLow, Transient
from flow_core.ports.clock import Clock
from flow_core.ports.market import Market

STANDARD, FLEX = Price.parse(20), Price.parse(26)


@define
class Sold:
    """Implements `ports.reservations.Reservations`; `unheard` loses the next answer, before or after it took effect."""

    market: Market
    clock: Clock
    price: Price = STANDARD
    charged: Spend = Spend.ZERO
    longest: timedelta = timedelta(days=30)
    unheard: str = ""
    kept: list[Reservation] = field(factory=list)
    asked: list[ReservationRequest] = field(factory=list)

    def quote(self, term: Term) -> Sequence[Offer]:
        if not term.region.startswith("us-central"):
            raise NoCapacity("not here")
        hours = (term.end - term.start) * term.quantity
        return [
            Offer(key=key, name=key.title(), unit_price=price, total=price.over(hours))
            for key, price in (("standard", self.price), ("flex", FLEX))
        ]

    def create(self, request: ReservationRequest) -> Reservation:
        self.asked.append(request)
        self._lose("before")
        if request.max_unit_price is not None and request.max_unit_price < self.price:
            raise PriceTooLow(f"it is {self.price} now")
        term = request.term
        shape = next(q.shape for q in self.market.quotes() if q.type_id == term.type_id)
        total = self.price.over((term.end - term.start) * term.quantity)
        made = Reservation(
            id=f"res_{len(self.kept) + 1}", name=request.name, state=ReservationState.PENDING,
            shape=shape, term=term, unit_price=self.price, total=total, created_at=self.clock.now(), owner="you",
        )  # fmt: skip
        self.kept.insert(0, made)
        self.charged = self.charged + total
        self._lose("after")
        return self._now(made)

    def reservations(self, *, name: str | None = None, live: bool = False) -> Sequence[Reservation]:
        found = [self._now(each) for each in self.kept]
        return [each for each in found if name in (None, each.name) and (each.is_live or not live)]

    def latest_end(self, reservation_id: str) -> datetime | None:
        return self._one(reservation_id).term.start + self.longest

    def extend(
        self, reservation_id: str, *, end: datetime, max_unit_price: Price | None = None
    ) -> Reservation:
        self._lose("before")
        found = self._one(reservation_id)
        if max_unit_price is not None and max_unit_price < self.price:
            raise PriceTooLow(f"it is {self.price} now")
        more = self.price.over((end - found.term.end) * found.term.quantity)
        made = evolve(found, term=evolve(found.term, end=end), total=found.total + more)
        self.kept[self.kept.index(found)] = made
        self.charged = self.charged + more
        self._lose("after")
        return self._now(made)

    def pause(self, reservation_id: str, *, paused: bool) -> Reservation:
        found = self._one(reservation_id)
        if not self._now(found).is_live:
            raise Conflict(f"it is {self._now(found).state.value}")
        state = ReservationState.PAUSED if paused else ReservationState.PENDING
        made = evolve(found, state=state)
        self.kept[self.kept.index(found)] = made
        return self._now(made)

    def give_back(self, reservation_id: str, node_ids: Collection[str]) -> Sequence[str]:
        return list(node_ids)

    def _one(self, reservation_id: str) -> Reservation:
        for each in self.kept:
            if each.id == reservation_id:
                return each
        raise NotFound("no such reservation")

    def _now(self, kept: Reservation) -> Reservation:
        now = self.clock.now()
        if now >= kept.term.end:
            return evolve(kept, state=ReservationState.ENDED)
        if kept.state is ReservationState.PENDING and now >= kept.term.start:
            return evolve(kept, state=ReservationState.ACTIVE)
        return kept

    def _lose(self, when: str) -> None:
        if self.unheard == when:
            self.unheard = ""
            raise Transient("no answer")
