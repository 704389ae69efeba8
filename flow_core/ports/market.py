"""The market role: what is on offer, and the bids that were made. Required of every provider."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from flow_core.domain.bid import Bid, BidRequest, Quote
    from flow_core.domain.money import Price
    from flow_core.domain.shape import InstanceShape


class Market(Protocol):
    """Sells instances to bids.

    Where there is no auction, quotes are zero and a bid of any limit waits only for free instances.
    Every method may raise `NotAuthorized` (the credentials) and `Transient` (no answer); reads may be repeated.
    """

    def quotes(self, shape: InstanceShape | None = None) -> Sequence[Quote]:
        """Return what is on offer now, in no order, one quote a type and region, those that match `shape` if given.

        Empty when nothing matches. Prices are per instance-hour and never below the floor.
        May be up to a minute old; `as_of` says. Expect under 5 s.
        """
        ...

    def place(self, request: BidRequest) -> Bid:
        """Enter a bid and return it as the provider recorded it, live, with `request`'s name, limit and quantity.

        Returns once the provider has accepted the bid, not when nodes exist; expect under 10 s. `request.name` is
        unique: a second call with the name of a live bid returns that bid or raises `NameTaken`, never makes another
        where the provider can tell.

        Raises:
            NoCapacity: the region doesn't offer this type at all (a low limit is not an error).
            PriceTooLow: the limit is under the floor.
            QuotaExceeded: the account may not hold this many.
            InvalidRequest: the provider can't serve something in the launch; the message names it.
            Transient: no answer; the bid may exist, so look for `request.name` before repeating.
        """
        ...

    def bid(self, bid_id: str) -> Bid:
        """Return one bid, live or ended.

        Raises:
            NotFound: no bid has that id (a bid ended long ago may have been forgotten).
        """
        ...

    def bids(
        self, *, name: str | None = None, ids: Collection[str] | None = None, live: bool = False
    ) -> Sequence[Bid]:
        """Return the account's bids, complete, newest first; those with this exact `name`, these `ids`, the live ones.

        Filters add up; an id that doesn't exist is left out; an empty `ids` returns nothing without asking. One sweep
        lists them all, however many there are. A bid just placed may be missing for `Limits.listing_lag_s`.
        """
        ...

    def amend(self, bid_id: str, *, limit: Price | None = None, paused: bool | None = None) -> Bid:
        """Change a live bid and return it; None leaves a thing as it is. The same change twice is one change.

        A pause gives the nodes back, keeps their boot disks, and ends the cost once they have stopped; the bid
        competes again when unpaused.

        Raises:
            NotFound: no bid has that id.
            Conflict: the bid has ended.
            PriceTooLow: the limit is under the floor.
            Unsupported: this provider can't change that.
        """
        ...

    def withdraw(self, bid_id: str) -> None:
        """End a bid and give back its nodes for good, boot disks too; nothing more is charged from then on.

        Withdrawing an ended or unknown bid does nothing. Returns once the provider has taken it in; the nodes may
        take a little longer to go. May be repeated.
        """
        ...
