"""Reservations: instances for a fixed time at a fixed price, paid as a whole."""

from __future__ import annotations

import enum
from datetime import datetime

from attrs import field, frozen

from flow_core.domain.bid import Launch
from flow_core.domain.money import Price, Spend
from flow_core.domain.shape import InstanceShape


class ReservationState(str, enum.Enum):
    """Where a reservation is in its life. CANCELED and ENDED are final."""

    PENDING = "pending"
    ACTIVE = "active"
    PAUSED = "paused"
    CANCELED = "canceled"
    ENDED = "ended"

    @property
    def is_live(self) -> bool:
        """Whether it holds or may come to hold instances."""
        return self not in (ReservationState.CANCELED, ReservationState.ENDED)


#: state -> the states it may be seen in next.
RESERVATION_TRANSITIONS: dict[ReservationState, frozenset[ReservationState]] = {
    ReservationState.PENDING: frozenset(
        {ReservationState.ACTIVE, ReservationState.CANCELED, ReservationState.ENDED}
    ),
    ReservationState.ACTIVE: frozenset(
        {ReservationState.PAUSED, ReservationState.CANCELED, ReservationState.ENDED}
    ),
    ReservationState.PAUSED: frozenset(
        {ReservationState.ACTIVE, ReservationState.CANCELED, ReservationState.ENDED}
    ),
    ReservationState.CANCELED: frozenset(),
    ReservationState.ENDED: frozenset(),
}


@frozen(kw_only=True)
class Term:
    """What is to be reserved: `quantity` instances of one type in one region, from `start` to `end`."""

    type_id: str
    region: str
    quantity: int
    start: datetime
    end: datetime


@frozen(kw_only=True)
class Offer:
    """A price at which a term can be had. `unit_price` is per instance-hour, `total` what is charged for all of it.

    `pause_credit` and `return_credit` are what comes back per instance-hour that is paused or given back, where told.
    """

    key: str
    name: str
    unit_price: Price
    total: Spend
    pause_credit: Price | None = None
    return_credit: Price | None = None


@frozen(kw_only=True)
class ReservationRequest:
    """A reservation to be made. `name` is unique, as a bid's is; above `max_unit_price` it isn't made at all."""

    name: str
    term: Term
    launch: Launch
    offer_key: str = "standard"
    max_unit_price: Price | None = None


@frozen(kw_only=True)
class Reservation:
    """A reservation as its provider records it; its nodes are asked of the fleet by its id."""

    id: str
    name: str
    state: ReservationState
    shape: InstanceShape
    term: Term
    unit_price: Price
    total: Spend
    created_at: datetime
    owner: str | None = None
    detail: str = field(default="")

    @property
    def is_live(self) -> bool:
        """Whether it holds or may come to hold instances."""
        return self.state.is_live
