"""The reservations role: instances for a fixed time, paid in full. Optional.

Times are aware and in UTC. Every method may raise `NotAuthorized` and `Transient`; reads may be repeated.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from flow_core.domain.money import Price
    from flow_core.domain.reservation import Offer, Reservation, ReservationRequest, Term


class Reservations(Protocol):
    """Sells time on instances ahead of it."""

    def quote(self, term: Term) -> Sequence[Offer]:
        """Return the prices at which `term` can be had now, the cheapest whole first; they may drift at any time.

        Empty when it can't be had.

        Raises:
            InvalidRequest: the term is too short, too long, or in the past.
            NoCapacity: the region doesn't offer this type at all.
        """
        ...

    def create(self, request: ReservationRequest) -> Reservation:
        """Make a reservation, charge its whole price at once, and return it as the provider recorded it.

        `request.name` is unique: a second call with the name of a live reservation returns that one or raises
        `NameTaken`, never makes another where the provider can tell.

        Raises:
            NoCapacity: the term can't be had.
            PriceTooLow: it costs more than `max_unit_price` by now; nothing was made.
            QuotaExceeded, BillingRefused: the account may not.
            InvalidRequest: the provider can't serve something in the request; the message names it.
            Transient: no answer; the reservation may exist, so look for its name before repeating.
        """
        ...

    def reservations(self, *, name: str | None = None, live: bool = False) -> Sequence[Reservation]:
        """Return the account's reservations, complete, newest first; those of this exact `name`, the live ones."""
        ...

    def latest_end(self, reservation_id: str) -> datetime | None:
        """Return until when a reservation could be extended now; None when not at all.

        Raises:
            NotFound: there is no such reservation.
        """
        ...

    def extend(
        self, reservation_id: str, *, end: datetime, max_unit_price: Price | None = None
    ) -> Reservation:
        """Make a reservation last until `end`, charge the rest at once, and return it.

        One that already ends then or later is returned as it is.

        Raises:
            NotFound: there is no such reservation.
            Conflict: it has ended.
            NoCapacity: it can't be extended that far.
            PriceTooLow: it costs more than `max_unit_price`; nothing was changed.
            Transient: no answer; look at its end before repeating.
        """
        ...

    def pause(self, reservation_id: str, *, paused: bool) -> Reservation:
        """Stop a reservation's instances, boot disks kept, or start them again; the same twice is one change.

        Raises:
            NotFound: there is no such reservation.
            Conflict: its state doesn't allow it; the message names the state.
        """
        ...

    def give_back(self, reservation_id: str, node_ids: Collection[str]) -> Sequence[str]:
        """Give single nodes back for good, for what credit there is, and return the ids of those that are gone.

        Nodes left out could not be stopped; the same call may be repeated for them.

        Raises:
            NotFound: there is no such reservation or node.
            Conflict: it has ended.
        """
        ...
