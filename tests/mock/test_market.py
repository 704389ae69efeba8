"""The pretend market: who gets nodes, when, for how much, and how they lose them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from flow_core.domain.allocation import NodeState
from flow_core.domain.auction import capped_at_lowest_winner
from flow_core.domain.bid import BidRequest, BidState, Launch
from flow_core.domain.money import Price
from flow_core.errors import Conflict, NameTaken, NoCapacity, NotFound, PriceTooLow, QuotaExceeded
from flow_providers.mock.pretend import PretendCloud
from flow_providers.mock.rules import OverQuota, SameName
from tests.mock.bidders import TYPE, bid, cloud, market, price, rival, state

#: Source: contract, section 3, vector 1.
VECTOR = {"A": "23", "B": "21", "C": "16", "D": "13", "E": "12", "F": "8"}


def nodes(pretend: PretendCloud, bid_id: str) -> list[NodeState]:
    """Return the states of a bid's nodes, by rank."""
    return [node.state for node in pretend.provider.fleet.allocations([bid_id])[bid_id].nodes]


def test_first_documented_vector_gives_three_winners_the_price_of_the_fourth():
    """Three instances go to the three highest limits, and all pay the highest losing one."""
    pretend = cloud(market(capacity=3))
    placed = {name: bid(pretend, name, limit) for name, limit in VECTOR.items()}
    pretend.clock.advance(minutes=2)
    won = {name for name, each in placed.items() if state(pretend, each) is BidState.ALLOCATED}

    assert {"A", "B", "C"} == won
    assert "$13.00" == price(pretend)


def test_second_documented_vector_lets_a_bid_over_the_price_lose_and_raises_it():
    """A bid above the price but below the lowest winner loses, and its limit becomes the price."""
    pretend = cloud(market(capacity=3))
    for name, limit in VECTOR.items():
        bid(pretend, name, limit)
    pretend.clock.advance(minutes=2)
    late = bid(pretend, "X", "13.01")
    pretend.clock.advance(minutes=2)

    assert BidState.OPEN is state(pretend, late)
    assert "$13.01" == price(pretend)


def test_new_bid_is_looked_at_in_the_next_round_and_boots():
    """A bid waits for the round on the two-minute grid; its nodes run twenty seconds later."""
    pretend = cloud()
    pretend.clock.advance(seconds=30)
    placed = bid(pretend, "a", "5", quantity=2)
    pretend.clock.advance(seconds=89)
    before = state(pretend, placed)
    pretend.clock.advance(seconds=1)
    granted = nodes(pretend, placed.id)
    pretend.clock.advance(seconds=20)

    assert BidState.OPEN is before
    assert [NodeState.STARTING] * 2 == granted
    assert [NodeState.RUNNING] * 2 == nodes(pretend, placed.id)


def test_instant_market_grants_and_boots_at_once():
    """Under the instant rule a bid's nodes run when `place` returns."""
    pretend = cloud(instant=True)
    placed = bid(pretend, "a", "5")

    assert BidState.ALLOCATED is placed.state or BidState.ALLOCATED is state(pretend, placed)
    assert [NodeState.RUNNING] == nodes(pretend, placed.id)


def test_default_limit_wins_in_every_market_of_the_catalogue():
    """One and a half times the quoted price wins in the next round, wherever it is bid."""
    pretend = PretendCloud()
    quotes = pretend.provider.market.quotes()
    placed = []
    for number, quote in enumerate(quotes):
        placed.append(
            pretend.provider.market.place(
                BidRequest(
                    name=f"t{number}",
                    type_id=quote.type_id,
                    shape=quote.shape,
                    region=quote.region,
                    quantity=1,
                    limit=Price(quote.price.micros * 3 // 2),
                    launch=Launch(script="true"),
                )
            )
        )
    pretend.clock.advance(minutes=2)

    assert {BidState.ALLOCATED} == {state(pretend, each) for each in placed}


def test_bid_at_the_crowds_price_loses_to_those_who_were_there_first():
    """A limit that equals what others pay already is a tie, and ties go by submission."""
    pretend = cloud(market(price="8.00"))
    pretend.clock.advance(minutes=1)
    placed = bid(pretend, "a", "8.00")
    pretend.clock.advance(minutes=2)

    assert BidState.OPEN is state(pretend, placed)


def test_holder_stays_when_the_price_rises_to_its_very_limit():
    """A bid is preempted when the price exceeds its limit, not when they are equal."""
    pretend = cloud(market(price="8.00"))
    placed = bid(pretend, "a", "9.00")
    pretend.clock.advance(minutes=3)
    pretend.raise_price("9.00")

    assert BidState.ALLOCATED is state(pretend, placed)


def test_bid_too_big_for_what_is_left_is_skipped_for_a_lower_one():
    """All or nothing: three of two free are no grant, and the next bid that fits wins."""
    pretend = cloud(market(capacity=4))
    high = bid(pretend, "high", "9", quantity=2)
    big = bid(pretend, "big", "8", quantity=3)
    low = bid(pretend, "low", "2", quantity=2)
    pretend.clock.advance(minutes=2)
    states = [state(pretend, each) for each in (high, big, low)]

    assert [BidState.ALLOCATED, BidState.OPEN, BidState.ALLOCATED] == states
    assert "$1.00" == price(pretend)


def test_price_rule_is_a_choice():
    """The price of a skipped bid that outranks a winner is unknown, so the rule can be switched."""
    pretend = cloud(market(capacity=4), price_rule=capped_at_lowest_winner)
    for name, limit, quantity in (("high", "9", 2), ("big", "8", 3), ("low", "2", 2)):
        bid(pretend, name, limit, quantity=quantity)
    pretend.clock.advance(minutes=2)

    assert "$2.00" == price(pretend)


def test_equal_limits_are_served_in_order_of_submission():
    """Of two equal limits for one instance, the first one in wins."""
    pretend = cloud(market(capacity=1))
    first, second = bid(pretend, "first", "5"), bid(pretend, "second", "5")
    pretend.clock.advance(minutes=2)

    assert (BidState.ALLOCATED, BidState.OPEN) == (state(pretend, first), state(pretend, second))


def test_outbid_holder_gets_notice_then_stops_and_keeps_its_disks():
    """After five minutes' notice the nodes stop, and the bid is open again."""
    pretend = cloud()
    placed = bid(pretend, "a", "5", quantity=2)
    pretend.clock.advance(minutes=3)
    before = pretend.clock.now()
    pretend.raise_price("6")
    allocation = pretend.provider.fleet.allocations([placed.id])[placed.id]
    noticed = state(pretend, placed)
    pretend.clock.advance(minutes=5)

    assert BidState.PREEMPTING is noticed
    assert allocation.notice is not None
    assert before + timedelta(minutes=5) == allocation.notice.deadline
    assert [NodeState.LEAVING] * 2 == [node.state for node in allocation.nodes]
    assert BidState.OPEN is state(pretend, placed)
    assert [NodeState.STOPPED] * 2 == nodes(pretend, placed.id)


@pytest.mark.parametrize("how", ["the price falls", "the limit is raised"])
def test_bid_is_rescued_inside_the_notice(how: str):
    """A bid that wins again before the deadline keeps its nodes, which never stopped; the notice is gone."""
    pretend = cloud()
    placed = bid(pretend, "a", "5")
    pretend.clock.advance(minutes=3)
    pretend.raise_price("6")
    if how == "the price falls":
        pretend.free_price()
    else:
        pretend.provider.market.amend(placed.id, limit=Price.parse("7"))
    pretend.clock.advance(minutes=2)
    allocation = pretend.provider.fleet.allocations([placed.id])[placed.id]

    assert BidState.ALLOCATED is state(pretend, placed)
    assert allocation.notice is None
    assert [NodeState.RUNNING] == [node.state for node in allocation.nodes]


def test_preempted_bid_comes_back_on_the_same_nodes_with_the_same_ranks():
    """When the price falls the bid is granted its old nodes, by id and rank."""
    pretend = cloud()
    placed = bid(pretend, "a", "5", quantity=3)
    pretend.clock.advance(minutes=3)
    ids = [node.id for node in pretend.provider.fleet.allocations([placed.id])[placed.id].nodes]
    pretend.raise_price("6", lasts="20m")
    pretend.clock.advance(minutes=30)
    back = pretend.provider.fleet.allocations([placed.id])[placed.id].nodes

    assert ids == [node.id for node in back]
    assert [0, 1, 2] == [node.rank for node in back]
    assert {NodeState.RUNNING} == {node.state for node in back}


def test_winner_waits_until_nodes_under_notice_are_free():
    """Who outbids a holder is granted after the notice: capacity is never given twice."""
    pretend = cloud(market(capacity=2))
    old = bid(pretend, "old", "5", quantity=2)
    pretend.clock.advance(minutes=3)
    new = bid(pretend, "new", "9", quantity=2)
    pretend.clock.advance(minutes=1)
    during = state(pretend, old), state(pretend, new)
    pretend.clock.advance(minutes=6)

    assert (BidState.PREEMPTING, BidState.OPEN) == during
    assert (BidState.OPEN, BidState.ALLOCATED) == (state(pretend, old), state(pretend, new))


def test_effective_notice_is_never_shorter_than_what_real_processes_need():
    """At rate 60, ten real seconds are ten simulated minutes, which outlasts the documented five."""
    pretend = cloud(rate=60.0, notice_min_real_s=10.0)
    placed = bid(pretend, "a", "5")
    pretend.clock.advance(minutes=3)
    pretend.raise_price("6")
    notice = pretend.provider.fleet.allocations([placed.id])[placed.id].notice

    assert notice is not None
    assert timedelta(minutes=10) == notice.deadline - pretend.clock.now()


def test_paused_bid_gives_its_nodes_back_and_competes_again():
    """A pause stops nodes at once and leaves the auction; unpausing brings the same nodes back."""
    pretend = cloud()
    placed = bid(pretend, "a", "5")
    pretend.clock.advance(minutes=3)
    pretend.provider.market.amend(placed.id, paused=True)
    paused = state(pretend, placed), nodes(pretend, placed.id)
    pretend.clock.advance(minutes=10)
    pretend.provider.market.amend(placed.id, paused=False)
    pretend.clock.advance(minutes=3)

    assert (BidState.PAUSED, [NodeState.STOPPED]) == paused
    assert (BidState.ALLOCATED, [NodeState.RUNNING]) == (
        state(pretend, placed),
        nodes(pretend, placed.id),
    )


def test_paused_bid_is_no_losing_bid():
    """The limit of a bid that left the auction does not set the price."""
    pretend = cloud(market(capacity=1))
    bid(pretend, "winner", "9")
    loser = bid(pretend, "loser", "5")
    pretend.clock.advance(minutes=2)
    contested = price(pretend)
    pretend.provider.market.amend(loser.id, paused=True)
    pretend.clock.advance(minutes=2)

    assert ("$5.00", "$1.00") == (contested, price(pretend))


def test_withdrawn_bid_is_over_and_its_nodes_are_gone():
    """A withdrawal ends the bid at once; repeating it, or withdrawing what never was, does nothing."""
    pretend = cloud()
    placed = bid(pretend, "a", "5")
    pretend.clock.advance(minutes=3)
    pretend.provider.market.withdraw(placed.id)
    pretend.provider.market.withdraw(placed.id)
    pretend.provider.market.withdraw("bid_unknown")
    ended = pretend.provider.market.bid(placed.id)

    assert (BidState.TERMINATED, pretend.clock.now()) == (ended.state, ended.ended_at)
    assert [] == nodes(pretend, placed.id)
    assert [] == list(pretend.provider.market.bids(live=True))
    with pytest.raises(Conflict):
        pretend.provider.market.amend(placed.id, paused=True)


def test_refusals_say_what_is_so():
    """A wrong region, too many, too little money and an unknown bid each have their kind."""
    pretend = cloud(market(capacity=3, floor="2.00", price="2.00"))

    with pytest.raises(NoCapacity, match="moon"):
        bid(pretend, "a", "5", region="moon")
    with pytest.raises(NoCapacity, match="3 of"):
        bid(pretend, "a", "5", quantity=4)
    with pytest.raises(PriceTooLow, match=r"\$2\.00"):
        bid(pretend, "a", "1.99")
    with pytest.raises(NotFound):
        pretend.provider.market.bid("bid_unknown")
    assert [] == list(pretend.provider.market.bids())


def test_second_bid_of_a_name_is_the_first_unless_told_otherwise():
    """What a repeated create gets is unknown: the first bid by default, or a refusal, or another bid."""
    first, refused, another = (cloud(same_name=each) for each in SameName)
    ids = {bid(first, "a", "5").id, bid(first, "a", "6").id}
    bid(refused, "a", "5")
    others = {bid(another, "a", "5").id, bid(another, "a", "5").id}

    assert 1 == len(ids)
    assert 2 == len(others)
    with pytest.raises(NameTaken):
        bid(refused, "a", "5")


def test_quota_refuses_or_keeps_waiting_as_the_rules_say():
    """Over the quota a bid is refused when placed; under the other rule it is accepted and not served."""
    refusing, waiting = (cloud(over_quota=each) for each in OverQuota)
    for pretend in (refusing, waiting):
        pretend.set_quota(TYPE, 2)
        bid(pretend, "a", "5", quantity=2)
    second = bid(waiting, "b", "5")
    waiting.clock.advance(minutes=3)

    assert BidState.OPEN is state(waiting, second)
    with pytest.raises(QuotaExceeded, match="2 of"):
        bid(refusing, "b", "5")


def test_other_peoples_bids_are_not_listed_but_set_the_price():
    """Only the account's bids are listed; what a rival's limit does to the price is all that is seen of it."""
    pretend = cloud(market(capacity=1))
    mine = bid(pretend, "mine", "9")
    rival(pretend, "theirs", "7")
    pretend.clock.advance(minutes=2)

    assert [mine.id] == [each.id for each in pretend.provider.market.bids()]
    assert "$7.00" == price(pretend)


def test_lists_are_newest_first_and_filters_add_up():
    """Bids come newest first; name, ids and live narrow the list together."""
    pretend = cloud()
    first, second = bid(pretend, "a", "5"), bid(pretend, "b", "5")
    pretend.provider.market.withdraw(first.id)
    bids = pretend.provider.market.bids

    assert [second.id, first.id] == [each.id for each in bids()]
    assert [first.id] == [each.id for each in bids(name="a")]
    assert [] == bids(name="a", live=True)
    assert [second.id] == [each.id for each in bids(ids=[first.id, second.id, "bid_x"], live=True)]
    assert [] == bids(ids=[])
