"""Reservations: what a time would cost, and having it. Whatever is charged is charged at once, so nothing is repeated.

A reservation goes out under a name with a token, as a bid does, so that one whose answer was not heard can be looked
for. It isn't in the journal: nothing of it has to be done later, and its provider lists it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from attrs import frozen

from flow_core.domain.bid import Launch
from flow_core.domain.names import (
    new_token,
    problem_with_name,
    readable_name,
    split_wire_name,
    wire_name,
)
from flow_core.domain.reservation import Offer, Reservation, ReservationRequest, Term
from flow_core.errors import (
    Conflict,
    InvalidRequest,
    NameTaken,
    NoCapacity,
    NotFound,
    Transient,
    Unsupported,
)

if TYPE_CHECKING:
    from flow_core.domain.money import Price, Spend
    from flow_core.domain.shape import InstanceShape
    from flow_core.ports.provider import Provider
    from flow_core.ports.reservations import Reservations
    from flow_core.services.ports import Ports


@frozen(kw_only=True)
class Offered:
    """One price for one term; `shape` is what an instance of it is."""

    shape: InstanceShape
    term: Term
    offer: Offer


@frozen(kw_only=True)
class Extension:
    """What making a reservation last until `end` costs now: `total` for all of it, at `unit_price` an instance-hour."""

    reservation: Reservation
    end: datetime
    unit_price: Price
    total: Spend


class Reserving:
    """What users do with reservations."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    def offers(
        self,
        shape: InstanceShape,
        *,
        quantity: int,
        start: datetime,
        end: datetime,
        region: str | None = None,
    ) -> list[Offered]:
        """Return what `quantity` instances can be had for from `start` to `end`, the cheapest whole first.

        Raises:
            InvalidRequest: the time is none, or the provider takes no such term.
            NoCapacity: no region has the type, or not for that time.
            Unsupported: the provider sells no reservations.
        """
        role = role_of(self._ports.provider)
        problems = {}
        if end <= start:
            problems["end"] = "is not after the start"
        if quantity < 1:
            problems["num_instances"] = f"{quantity} instances can't be reserved; reserve 1 or more"
        if problems:
            raise InvalidRequest(problems)
        markets = [
            quote
            for quote in self._ports.provider.market.quotes(shape)
            if region in (None, quote.region)
        ]
        found: list[Offered] = []
        for market in markets:
            term = Term(
                type_id=market.type_id,
                region=market.region,
                quantity=quantity,
                start=start,
                end=end,
            )
            try:
                offers = role.quote(term)
            except NoCapacity:
                continue
            found += [Offered(shape=market.shape, term=term, offer=each) for each in offers]
        if not found:
            where = f" in {region}" if region else ""
            raise NoCapacity(
                f"{quantity} × {shape}{where} can't be reserved for that time",
                hint="try another time, region or number; `flow price` lists what is on offer",
            )
        return sorted(found, key=lambda each: (each.offer.total, each.term.region, each.offer.key))

    def create(self, offered: Offered, *, name: str | None = None) -> Reservation:
        """Reserve what was offered at no more than its price, pay for it at once, and return the reservation.

        Raises:
            NameTaken: a live reservation has that name.
            PriceTooLow: it costs more by now; nothing was made.
            Transient: no answer, and it can't be seen yet; it may exist, so look before repeating.
        """
        role = role_of(self._ports.provider)
        problem = problem_with_name(name) if name is not None else None
        if problem:
            raise InvalidRequest({"name": problem})
        taken = {name_of(each) for each in role.reservations(live=True)}
        if name in taken:
            raise NameTaken(f"a live reservation is named {name!r}", hint="choose another name")
        name = name or readable_name(self._ports.chance, taken=taken)
        request = ReservationRequest(
            name=wire_name(name, new_token(self._ports.chance)),
            term=offered.term,
            launch=Launch(script=""),
            offer_key=offered.offer.key,
            max_unit_price=offered.offer.unit_price,
        )
        try:
            return role.create(request)
        except Transient as silence:
            for each in role.reservations(name=request.name):
                return each
            raise Transient(
                f"whether {name!r} was reserved is not known: {silence.message}",
                hint="look with `flow reservation list` before you repeat it: it may have been charged",
            ) from silence

    def reservations(self, *, live: bool = True) -> Sequence[Reservation]:
        """Return the account's reservations, the live ones unless told otherwise, newest first."""
        return role_of(self._ports.provider).reservations(live=live)

    def reservation(self, name: str) -> Reservation:
        """Return one reservation by name or id, a live one first; see `named`."""
        return named(role_of(self._ports.provider), name)

    def extension(self, name: str, end: datetime) -> Extension:
        """Return what extending a reservation until `end` costs now; nothing is changed.

        Raises:
            Conflict: it has ended, or lasts until then already.
            NoCapacity: it can't be extended that far; the message says how far.
        """
        role = role_of(self._ports.provider)
        found = named(role, name)
        shown = name_of(found)
        if not found.is_live:
            raise Conflict(f"{shown!r} is {found.state.value} and can't be extended")
        if end <= found.term.end:
            raise Conflict(f"{shown!r} lasts until {_minute(found.term.end)} already")
        latest = role.latest_end(found.id)
        if latest is None or latest < end:
            until = f"until {_minute(latest)} at most" if latest is not None else "not at all now"
            raise NoCapacity(f"{shown!r} can be extended {until}")
        rest = Term(
            type_id=found.term.type_id,
            region=found.term.region,
            quantity=found.term.quantity,
            start=found.term.end,
            end=end,
        )
        return Extension(
            reservation=found,
            end=end,
            unit_price=found.unit_price,
            total=(found.unit_price * rest.quantity).over(rest.end - rest.start),
        )

    def extend(self, extension: Extension) -> Reservation:
        """Extend a reservation at no more than its unit price, pay for the rest at once, and return it.

        Raises:
            PriceTooLow: it costs more by now; nothing was changed.
            Transient: no answer, and its end is as it was; look at it again before repeating.
        """
        role = role_of(self._ports.provider)
        found = extension.reservation
        try:
            return role.extend(found.id, end=extension.end, max_unit_price=extension.unit_price)
        except Transient:
            now = named(role, found.id)
            if now.term.end >= extension.end:
                return now
            raise

    def pause(self, name: str, *, paused: bool) -> Reservation:
        """Stop a reservation's instances, boot disks kept, or start them again; see `ports.reservations`."""
        role = role_of(self._ports.provider)
        return role.pause(named(role, name).id, paused=paused)


def role_of(provider: Provider) -> Reservations:
    """Return the reservations role.

    Raises:
        Unsupported: there is none.
    """
    if provider.reservations is None:
        raise Unsupported(
            f"{provider.name} sells no reservations",
            hint="`flow provider list` shows what each provider offers",
        )
    return provider.reservations


def name_of(reservation: Reservation) -> str:
    """Return the name that its user gave it; one made elsewhere has its own."""
    split = split_wire_name(reservation.name)
    return split[0] if split is not None else reservation.name


def named(role: Reservations, name: str) -> Reservation:
    """Return one reservation by id or name, live ones before ended ones.

    Raises:
        NotFound: with the live ones there are.
        Conflict: several live ones have that name.
    """
    there = role.reservations()
    found = [each for each in there if each.id == name]
    for is_live in (True, False):
        found = found or [
            each for each in there if each.is_live is is_live and name in (each.name, name_of(each))
        ]
    if not found:
        known = ", ".join(name_of(each) for each in there if each.is_live) or "none"
        raise NotFound(f"no reservation is named {name!r}", hint=f"live ones: {known}")
    if len(found) > 1 and found[0].is_live:
        ids = ", ".join(each.id for each in found)
        raise Conflict(f"{len(found)} reservations are named {name!r}", hint=f"say which: {ids}")
    return found[0]


def _minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%MZ}"
