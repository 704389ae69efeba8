"""The reservations role: quotes, reservations made, extended, paused, and nodes given back."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime

from flow_core.domain.money import Price
from flow_core.domain.names import split_wire_name
from flow_core.domain.reservation import (
    Offer,
    Reservation,
    ReservationRequest,
    ReservationState,
    Term,
)
from flow_core.domain.shape import InstanceShape
from flow_core.errors import (
    Conflict,
    InvalidRequest,
    NoCapacity,
    NotFound,
    PriceTooLow,
)
from flow_providers.mithril import wire
from flow_providers.mithril.client import PAGE, Client, segment
from flow_providers.mithril.encoding import instant
from flow_providers.mithril.facts import SCRIPT_CHARS
from flow_providers.mithril.offers import Offers

STATES: dict[str, ReservationState] = {each.value: each for each in ReservationState}
#: The status that says that only some nodes went. Source: the service's OpenAPI.
_SOME = 207
_PATH = "/v2/reservation"


class MithrilReservations:
    """Implements `ports.reservations.Reservations` over /v2/reservation, which has no call for a single one."""

    def __init__(
        self,
        client: Client,
        *,
        offers: Offers,
        keys: Callable[[Collection[str]], tuple[str, ...]],
    ) -> None:
        self._client = client
        self._offers = offers
        self._keys = keys

    def quote(self, term: Term) -> Sequence[Offer]:
        """See `Reservations.quote`."""
        query = {
            "project": self._client.project,
            "instance_type": term.type_id,
            "region": term.region,
            "start_time": instant(term.start),
            "end_time": instant(term.end),
            "quantity": term.quantity,
        }
        try:
            told = self._client.read("quote reservation", wire.Quoted, f"{_PATH}/quote", query)
        except NotFound as error:
            raise NoCapacity(error.message, hint="`flow price` lists what is on offer") from error
        found = [
            Offer(
                key=each.key,
                name=each.display_name or each.key,
                unit_price=each.unit_price,
                total=each.total_price,
                pause_credit=each.pause_buyback_price,
                return_credit=each.return_buyback_price,
            )
            for each in told.offers
        ]
        return sorted(found, key=lambda offer: (offer.total, offer.key))

    def create(self, request: ReservationRequest) -> Reservation:
        """See `Reservations.create`."""
        launch, term = request.launch, request.term
        if len(launch.script) > SCRIPT_CHARS:
            raise InvalidRequest(
                {"command": f"makes a startup script of over {SCRIPT_CHARS:,} characters"}
            )
        specification: dict[str, object] = {
            "volumes": [each.volume_id for each in launch.attachments],
            "ssh_keys": list(self._keys(launch.keys)),
        }
        if launch.script:
            specification["startup_script"] = launch.script
        body = {
            "project": self._client.project,
            "instance_type": term.type_id,
            "region": term.region,
            "start_time": instant(term.start),
            "end_time": instant(term.end),
            "instance_quantity": term.quantity,
            "name": request.name,
            "launch_specification": specification,
            "price_specification": _specified(request.offer_key, request.max_unit_price),
        }
        for each in self.reservations(name=request.name, live=True):
            return each
        # The shape is known before the request leaves: from then on nothing else may fail.
        shape = self._offers.shape(term.type_id)
        split = split_wire_name(request.name)
        with _dearer():
            told = self._client.create(
                "make reservation",
                wire.Reservation,
                _PATH,
                body,
                token=split[1] if split else request.name,
            )
        return _reservation(told, lambda _: shape)

    def reservations(self, *, name: str | None = None, live: bool = False) -> Sequence[Reservation]:
        """See `Reservations.reservations`."""
        told = self._client.listed(
            "list reservations",
            wire.Reservation,
            _PATH,
            {"project": self._client.project, "limit": PAGE},
        )
        found = {each.fid: _reservation(each, self._offers.shape) for each in told}
        return sorted(
            (
                each
                for each in found.values()
                if name in (None, each.name) and (each.is_live or not live)
            ),
            key=lambda each: (each.created_at, each.id),
            reverse=True,
        )

    def latest_end(self, reservation_id: str) -> datetime | None:
        """See `Reservations.latest_end`."""
        told = self._client.read(
            "look up extension",
            wire.Extension,
            f"{_PATH}/{segment(reservation_id)}/extension-availability",
        )
        return told.latest_extension_time if told.available else None

    def extend(
        self, reservation_id: str, *, end: datetime, max_unit_price: Price | None = None
    ) -> Reservation:
        """See `Reservations.extend`."""
        before = self._one(reservation_id)
        if not before.is_live:
            raise Conflict(f"reservation {before.name} has ended and can't be extended")
        if before.term.end >= end:
            return before
        body: dict[str, object] = {"end_time": instant(end)}
        if max_unit_price is not None:
            body["price_specification"] = _specified("standard", max_unit_price)
        path = f"{_PATH}/{segment(reservation_id)}/extend"
        with _dearer():
            try:
                told = self._client.create("extend reservation", wire.Reservation, path, body)
            except (Conflict, InvalidRequest) as refusal:
                latest = self.latest_end(reservation_id)
                if latest is None or latest < end:
                    until = f"until {instant(latest)} at most" if latest else "not at all now"
                    raise NoCapacity(
                        f"reservation {before.name} can be extended {until}", hint=refusal.message
                    ) from refusal
                raise
        return _reservation(told, lambda _: before.shape)

    def pause(self, reservation_id: str, *, paused: bool) -> Reservation:
        """See `Reservations.pause`."""
        path = f"{_PATH}/{segment(reservation_id)}"
        try:
            told = self._client.change(
                "pause reservation", wire.Reservation, path, {"paused": paused}
            )
        except (Conflict, InvalidRequest) as refusal:
            now = self._one(reservation_id)
            if now.is_live and (now.state is ReservationState.PAUSED) is paused:
                return now
            raise Conflict(
                f"reservation {now.name} is {now.state.value}", hint=refusal.message
            ) from refusal
        return _reservation(told, self._offers.shape)

    def give_back(self, reservation_id: str, node_ids: Collection[str]) -> Sequence[str]:
        """See `Reservations.give_back`."""
        asked = list(dict.fromkeys(node_ids))
        if not asked:
            return []
        try:
            status, data = self._client.act(
                "give back nodes",
                f"{_PATH}/{segment(reservation_id)}/terminate-instances",
                {"instances": asked, "reduce_capacity": True},
            )
        except InvalidRequest as refusal:
            raise Conflict(refusal.message) from refusal
        if status != _SOME or not isinstance(data, Mapping):
            return asked
        gone = data.get("terminated_instances")
        return [each for each in asked if isinstance(gone, list) and each in gone]

    def _one(self, reservation_id: str) -> Reservation:
        for each in self.reservations():
            if each.id == reservation_id:
                return each
        raise NotFound(f"no reservation has the id {reservation_id!r}")


@contextmanager
def _dearer() -> Iterator[None]:
    """Within, a refusal that speaks of the price says that it rose above the most that was to be paid."""
    try:
        yield
    except (InvalidRequest, Conflict) as error:
        if "price" not in error.message.lower():
            raise
        raise PriceTooLow(error.message, hint="quote again: the price may have moved") from error


def _specified(offer_key: str, most: Price | None) -> dict[str, object]:
    """Return a price specification; the unit of `max_unit_price` is not documented and taken for cents."""
    told: dict[str, object] = {"offer_key": offer_key}
    if most is not None:
        told["max_unit_price"] = most.to_cents()
    return told


def _reservation(told: wire.Reservation, shape: Callable[[str], InstanceShape]) -> Reservation:
    state = STATES.get(told.status.lower())
    return Reservation(
        id=told.fid,
        name=told.name,
        state=state or ReservationState.ACTIVE,
        shape=shape(told.instance_type),
        term=Term(
            type_id=told.instance_type,
            region=told.region or "",
            quantity=told.instance_quantity,
            start=told.start_time,
            end=told.end_time,
        ),
        unit_price=told.unit_price,
        total=told.total_price,
        created_at=told.created_at,
        owner=told.created_by,
        detail="" if state else told.status,
    )
