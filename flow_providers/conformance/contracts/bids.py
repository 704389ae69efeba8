"""How bids are looked up: `bid` and `bids`."""

from __future__ import annotations

from collections.abc import Iterable

from flow_core.domain.bid import Bid, BidState
from flow_core.errors import NotFound
from flow_providers.conformance.bed import Bed, refuses
from flow_providers.conformance.contracts.base import Contract
from flow_providers.conformance.stating import states


class BidsContract(Contract):
    """`Market.bid` and `Market.bids`."""

    @states("market.bid", "Return one bid, live or ended.")
    def test_a_bid_is_found_by_its_id_live_and_ended(self, bed: Bed) -> None:
        """A bid can be asked for by id while it is live, and when it has ended; an ended one says since when."""
        bid = bed.place()
        live = bed.market.bid(bid.id)
        bed.market.withdraw(bid.id)
        ended = bed.until(
            "the bid ended", lambda: each if not (each := bed.market.bid(bid.id)).is_live else None
        )

        assert live.is_live
        assert bid.id == live.id == ended.id
        assert BidState.TERMINATED is ended.state
        assert ended.ended_at is not None
        assert bid.created_at <= ended.ended_at <= bed.now

    @states(
        "market.bid",
        "NotFound: no bid has that id (a bid ended long ago may have been forgotten).",
    )
    def test_an_unknown_id_is_not_found(self, bed: Bed) -> None:
        """Asking for a bid by an id that is nobody's raises NotFound."""
        refuses(NotFound, lambda: bed.market.bid(bed.rig.no_such_id))

    @states(
        "market.bids",
        "Return the account's bids, complete, newest first; those with this exact `name`, these `ids`, the live ones.",
    )
    def test_all_bids_are_listed_newest_first(self, bed: Bed) -> None:
        """A listing holds every bid, ended ones too, and none was created later than the one before it."""
        placed = []
        for _ in range(3):
            placed.append(bed.place())
            bed.let_pass(bed.rig.resolution_s)
        bed.listed(placed[-1])
        bed.market.withdraw(placed[1].id)
        listed = bed.market.bids()
        ids = [bid.id for bid in listed]

        assert [bid.id for bid in reversed(placed)] == [
            each for each in ids if each in _ids(placed)
        ]
        assert listed == sorted(listed, key=lambda bid: bid.created_at, reverse=True)

    @states(
        "market.bids",
        "Return the account's bids, complete, newest first; those with this exact `name`, these `ids`, the live ones.",
    )
    def test_bids_can_be_asked_for_by_name_by_id_and_by_life(self, bed: Bed) -> None:
        """A name finds the bid of exactly that name, ids find theirs, and `live` leaves ended bids out."""
        one, two = bed.place(), bed.place()
        bed.listed(two)

        assert {one.id} == _ids(bed.market.bids(name=one.name))
        assert set() == _ids(bed.market.bids(name=one.name[:-1]))
        assert {one.id, two.id} == _ids(bed.market.bids(ids=[one.id, two.id]))

        bed.market.withdraw(one.id)
        bed.until("the bid ended", lambda: not bed.market.bid(one.id).is_live)
        live = _ids(bed.market.bids(live=True))

        assert two.id in live
        assert one.id not in live

    @states(
        "market.bids",
        "Filters add up; an id that doesn't exist is left out; an empty `ids` returns nothing without asking.",
    )
    def test_filters_narrow_each_other(self, bed: Bed) -> None:
        """A bid is listed when it passes every filter given; ids that are nobody's are left out."""
        one, two = bed.place(), bed.place()
        bed.listed(two)
        bed.market.withdraw(one.id)
        bed.until("the bid ended", lambda: not bed.market.bid(one.id).is_live)
        ids = [one.id, two.id, bed.rig.no_such_id]

        assert {one.id, two.id} == _ids(bed.market.bids(ids=ids))
        assert {two.id} == _ids(bed.market.bids(ids=ids, live=True))
        assert {one.id} == _ids(bed.market.bids(ids=ids, name=one.name))
        assert set() == _ids(bed.market.bids(ids=ids, name=one.name, live=True))

    @states(
        "market.bids",
        "Filters add up; an id that doesn't exist is left out; an empty `ids` returns nothing without asking.",
    )
    def test_asking_for_no_ids_asks_nobody(self, bed: Bed) -> None:
        """An empty `ids` gives an empty list, even while the provider gives no answer."""
        bed.place()
        fail_before = bed.rig.controls.fail_before
        if fail_before is not None:
            fail_before("market.bids")

        assert [] == list(bed.market.bids(ids=[]))

    @states("market.bids", "One sweep lists them all, however many there are.")
    def test_a_long_listing_is_complete(self, bed: Bed) -> None:
        """As many bids as the rig has for `many` are all in one listing, each once."""
        placed = bed.place_many(bed.rig.many)
        bed.listed(placed[-1])
        ids = [bid.id for bid in bed.market.bids()]

        assert len(ids) == len(set(ids))
        assert _ids(placed) <= set(ids)
        assert _ids(placed) == _ids(bed.market.bids(ids=_ids(placed)))

    @states("market.bids", "A bid just placed may be missing for `Limits.listing_lag_s`.")
    def test_a_bid_is_listed_after_the_lag(self, bed: Bed) -> None:
        """When `listing_lag_s` has passed, a bid is listed; where that is zero, at once."""
        bid = bed.place()
        bed.listed(bid)

        assert bid.id in _ids(bed.market.bids(live=True))


def _ids(bids: Iterable[Bid]) -> set[str]:
    return {bid.id for bid in bids}
