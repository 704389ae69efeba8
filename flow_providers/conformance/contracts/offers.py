"""What a market offers, and how bids are placed: `quotes` and `place`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from attrs import evolve

from flow_core.domain.bid import BidState
from flow_core.domain.money import Price
from flow_core.domain.shape import InstanceShape, parse_shape
from flow_core.domain.volume import Attachment
from flow_core.errors import (
    InvalidRequest,
    NameTaken,
    NoCapacity,
    NotAuthorized,
    PriceTooLow,
    QuotaExceeded,
    Transient,
)
from flow_providers.conformance.bed import Bed, refuses
from flow_providers.conformance.contracts.base import Contract
from flow_providers.conformance.stating import states


class OffersContract(Contract):
    """`Market.quotes` and `Market.place`."""

    @states("market.Market", "Sells instances to bids.")
    def test_a_winning_bid_gets_its_instances(self, bed: Bed) -> None:
        """A bid above the price is allocated, and its nodes come up."""
        bid, allocation = bed.granted()

        assert bed.state(bid) is BidState.ALLOCATED
        assert bid.quantity == len(allocation.nodes)

    @states(
        "market.Market",
        "Where there is no auction, quotes are zero and a bid of any limit waits only for free instances.",
    )
    def test_a_bid_wins_at_zero_where_the_price_is_zero(self, bed: Bed) -> None:
        """Where the price is zero, a bid of zero is granted; elsewhere a price is above zero."""
        quote = bed.quote()
        if quote.price > Price.ZERO:
            return
        bid, _ = bed.granted(bed.request(quote=quote, limit=Price.ZERO))

        assert bed.state(bid) is BidState.ALLOCATED

    @states(
        "market.Market",
        "Every method may raise `NotAuthorized` (the credentials) and `Transient` (no answer); reads may be repeated.",
    )
    def test_no_method_works_without_credentials(self, bed: Bed) -> None:
        """While the credentials are refused, each method of the market raises NotAuthorized."""
        refuse_login = bed.control("refuse_login", bed.rig.controls.refuse_login)
        calls = _every_method(bed)
        with refuse_login():
            for call in calls.values():
                refuses(NotAuthorized, call)

    @states(
        "market.Market",
        "Every method may raise `NotAuthorized` (the credentials) and `Transient` (no answer); reads may be repeated.",
    )
    def test_no_answer_is_transient(self, bed: Bed) -> None:
        """A method that gets no answer raises Transient, and works when it is called again."""
        fail_before = bed.control("fail_before", bed.rig.controls.fail_before)
        for name, call in _every_method(bed).items():
            fail_before(f"market.{name}")
            refuses(Transient, call)
            call()

    @states(
        "market.Market",
        "Every method may raise `NotAuthorized` (the credentials) and `Transient` (no answer); reads may be repeated.",
    )
    def test_reading_changes_nothing(self, bed: Bed) -> None:
        """Quotes and bids read twice are the same."""
        bid = bed.place()
        bed.listed(bid)

        assert _markets(bed) == _markets(bed)
        assert bed.market.bid(bid.id).id == bed.market.bid(bid.id).id == bid.id
        assert [bid.id] == [each.id for each in bed.market.bids(name=bid.name)]
        assert [bid.id] == [each.id for each in bed.market.bids(name=bid.name)]

    @states(
        "market.quotes",
        "Return what is on offer now, in no order, one quote a type and region, those that match `shape` if given.",
    )
    def test_quotes_can_be_asked_for_one_shape(self, bed: Bed) -> None:
        """There is one quote for each type and region, and asking for a shape gives those that match it."""
        every = bed.market.quotes()

        assert len(every) == len({(quote.type_id, quote.region) for quote in every}) > 0
        for shape in {quote.shape for quote in every}:
            matching = {(q.type_id, q.region) for q in every if shape.matches(q.shape)}
            assert matching == {(q.type_id, q.region) for q in bed.market.quotes(shape)}

    @states(
        "market.quotes",
        "Return what is on offer now, in no order, one quote a type and region, those that match `shape` if given.",
    )
    def test_quotes_can_be_asked_for_one_type_by_its_id(self, bed: Bed) -> None:
        """A shape that names one of the provider's own types gives that type's quotes, in every region that has it."""
        every = bed.market.quotes()

        for type_id in {quote.type_id for quote in every}:
            named = InstanceShape("", 0, type_id=type_id)
            matching = {(q.type_id, q.region) for q in every if q.type_id == type_id}
            assert matching == {(q.type_id, q.region) for q in bed.market.quotes(named)}
            assert not any(q.shape.type_id for q in bed.market.quotes(named))

    @states("market.quotes", "Empty when nothing matches.")
    def test_a_shape_that_nobody_sells_has_no_quotes(self, bed: Bed) -> None:
        """Asking for a shape that is not on offer returns nothing, and raises nothing."""
        unheard_of = parse_shape("71xp100")

        assert [] == list(bed.market.quotes(unheard_of))

    @states("market.quotes", "Prices are per instance-hour and never below the floor.")
    def test_no_price_is_below_the_floor(self, bed: Bed) -> None:
        """Each quote's price is at least its floor."""
        assert [] == [quote for quote in bed.market.quotes() if quote.price < quote.floor]

    @states("market.quotes", "May be up to a minute old; `as_of` says.")
    def test_quotes_say_how_old_they_are(self, bed: Bed) -> None:
        """A quote's `as_of` is not in the future, and at most a minute before the question."""
        asked = bed.now
        stamps = [quote.as_of for quote in bed.market.quotes()]

        assert max(stamps) <= bed.now
        assert min(stamps) >= asked - timedelta(minutes=1)

    @states("market.quotes", "Expect under 5 s.")
    def test_quotes_come_within_five_seconds(self, bed: Bed) -> None:
        """All quotes are there in under 5 s of real time."""
        assert bed.within(5.0, bed.market.quotes)

    @states(
        "market.place",
        "Enter a bid and return it as the provider recorded it, live, with `request`'s name, limit and quantity.",
    )
    def test_a_placed_bid_is_what_was_asked_for(self, bed: Bed) -> None:
        """The bid returned is live, says what the request said, and is the one that the provider knows by its id."""
        request = bed.request()
        bid = bed.place(request)
        recorded = bed.market.bid(bid.id)

        assert bid.is_live
        for each in (bid, recorded):
            assert request.name == each.name
            assert request.limit == each.limit
            assert request.quantity == each.quantity
            assert request.region == each.region
            assert request.shape.matches(each.shape)

    @states(
        "market.place",
        "Returns once the provider has accepted the bid, not when nodes exist; expect under 10 s.",
    )
    def test_placing_does_not_wait_for_nodes(self, bed: Bed) -> None:
        """A bid at the floor, which may never win, is placed in under 10 s of real time."""
        quote = bed.quote()
        request = bed.request(quote=quote, limit=quote.floor)

        bid = bed.within(10.0, lambda: bed.place(request))

        assert bid.id == bed.market.bid(bid.id).id

    @states(
        "market.place",
        "`request.name` is unique: a second call with the name of a live bid returns that bid or raises `NameTaken`,"
        " never makes another where the provider can tell.",
    )
    def test_a_name_is_placed_once(self, bed: Bed) -> None:
        """The same request placed twice is one bid: the second call returns it, or raises NameTaken."""
        request = bed.request()
        first = bed.place(request)
        try:
            second = bed.place(request)
        except NameTaken:
            second = first
        bed.listed(first)

        assert first.id == second.id
        assert [first.id] == [bid.id for bid in bed.market.bids(name=request.name, live=True)]

    @states(
        "market.place",
        "NoCapacity: the region doesn't offer this type at all (a low limit is not an error).",
    )
    def test_a_type_that_the_region_lacks_is_refused(self, bed: Bed) -> None:
        """A type unknown to the region raises NoCapacity and leaves no bid; a bid as low as the floor is taken."""
        quote = bed.quote()
        elsewhere = evolve(bed.request(quote=quote), type_id=bed.rig.no_such_id)
        refuses(NoCapacity, lambda: bed.place(elsewhere))
        low = bed.place(bed.request(quote=quote, limit=quote.floor))
        bed.listed(low)

        assert [] == list(bed.market.bids(name=elsewhere.name))
        assert low.is_live

    @states("market.place", "PriceTooLow: the limit is under the floor.")
    def test_a_limit_under_the_floor_is_refused(self, bed: Bed) -> None:
        """A limit of a cent less than the floor raises PriceTooLow and leaves no bid; under zero there is no limit."""
        quote = bed.quote()
        if quote.floor.to_cents() == 0:
            return
        request = bed.request(quote=quote, limit=Price.from_cents(quote.floor.to_cents() - 1))

        refuses(PriceTooLow, lambda: bed.place(request))

        assert [] == list(bed.market.bids(name=request.name))

    @states("market.place", "QuotaExceeded: the account may not hold this many.")
    def test_more_than_the_quota_is_refused(self, bed: Bed) -> None:
        """Two instances raise QuotaExceeded on an account that may hold one, and leave no bid; one is taken."""
        bed.control("instance_quota", bed.rig.controls.instance_quota)(1)
        request = bed.request(quote=bed.quote(), quantity=2)

        refuses(QuotaExceeded, lambda: bed.place(request))

        assert [] == list(bed.market.bids(name=request.name))
        assert bed.place().is_live

    @states(
        "market.place",
        "InvalidRequest: the provider can't serve something in the launch; the message names it.",
    )
    def test_a_launch_that_cannot_be_served_is_refused(self, bed: Bed) -> None:
        """A launch that attaches a volume which doesn't exist raises InvalidRequest that names it; no bid is left."""
        missing = bed.rig.no_such_id
        request = bed.request(attachments=(Attachment(volume_id=missing, path="/data"),))

        error = refuses(InvalidRequest, lambda: bed.place(request))

        assert missing in error.message
        assert [] == list(bed.market.bids(name=request.name))

    @states(
        "market.place",
        "Transient: no answer; the bid may exist, so look for `request.name` before repeating.",
    )
    def test_a_bid_whose_acceptance_was_not_heard_is_found_by_name(self, bed: Bed) -> None:
        """When the answer is lost, the bid is in the listings under its name, once."""
        bed.control("fail_after", bed.rig.controls.fail_after)("market.place")
        request = bed.request()

        refuses(Transient, lambda: bed.place(request))

        found = bed.until("the bid listed", lambda: bed.market.bids(name=request.name))
        assert [request.name] == [bid.name for bid in found]

    @states(
        "market.place",
        "Transient: no answer; the bid may exist, so look for `request.name` before repeating.",
    )
    def test_a_bid_that_never_arrived_is_not_listed(self, bed: Bed) -> None:
        """When the request is lost, no bid has its name, and it can be placed again."""
        bed.control("fail_before", bed.rig.controls.fail_before)("market.place")
        request = bed.request()

        refuses(Transient, lambda: bed.place(request))

        bed.let_pass(bed.provider.limits.listing_lag_s)
        assert [] == list(bed.market.bids(name=request.name))
        assert bed.place(request).is_live


def _markets(bed: Bed) -> set[tuple[str, str]]:
    return {(quote.type_id, quote.region) for quote in bed.market.quotes()}


def _every_method(bed: Bed) -> dict[str, Callable[[], object]]:
    bid = bed.place()
    request = bed.request()
    return {
        "quotes": bed.market.quotes,
        "place": lambda: bed.place(request),
        "bid": lambda: bed.market.bid(bid.id),
        "bids": bed.market.bids,
        "amend": lambda: bed.amended(bid, limit=bid.limit),
        "withdraw": lambda: bed.market.withdraw(bid.id),
    }
