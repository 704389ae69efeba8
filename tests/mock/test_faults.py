"""Faults by script: each does what it says, once, and to nobody else."""

from __future__ import annotations

import pytest

from flow_core.domain.allocation import NodeState
from flow_core.domain.bid import BidState
from flow_core.domain.run import RunPhase
from flow_core.errors import Conflict, InvalidRequest, NotFound, QuotaExceeded, Transient
from flow_providers.mock.faults import METHODS
from tests.mock.bidders import bid, cloud, market, price, state


def test_silence_before_leaves_nothing():
    """A call that fails before it takes effect raises, and no bid exists; the next one works."""
    pretend = cloud()
    pretend.fail_next("place")

    with pytest.raises(Transient):
        bid(pretend, "a", "5")
    assert [] == pretend.provider.market.bids()
    assert "a" == bid(pretend, "a", "5").name


def test_silence_after_leaves_the_bid():
    """A call that fails after it took effect raises, and the bid is found by its name."""
    pretend = cloud()
    pretend.fail_next("place", after=True)

    with pytest.raises(Transient):
        bid(pretend, "a", "5")
    assert ["a"] == [each.name for each in pretend.provider.market.bids(name="a")]


def test_silence_strikes_as_often_as_told():
    """A fault told to strike twice strikes reads twice, then is over."""
    pretend = cloud()
    pretend.fail_next("bids", times=2)

    for _ in range(2):
        with pytest.raises(Transient):
            pretend.provider.market.bids()
    assert [] == pretend.provider.market.bids()


def test_only_calls_that_exist_can_be_told_to_fail():
    """A misspelt method is refused, with the names there are."""
    pretend = cloud()

    with pytest.raises(InvalidRequest, match="withdraw"):
        pretend.fail_next("plaice")
    for method in METHODS:
        pretend.fail_next(method)


def test_outbid_task_comes_back_when_the_rival_leaves():
    """Outbidding gives notice at once; ten minutes after its end the rival has left, and the task returns."""
    pretend = cloud()
    placed = bid(pretend, "resnet", "5")
    pretend.clock.advance(minutes=3)
    paid = pretend.outbid("resnet")
    at_once = state(pretend, placed)
    pretend.clock.advance(minutes=14)
    away = state(pretend, placed)
    pretend.clock.advance(minutes=4)

    assert "$5.01" == str(paid)
    assert (BidState.PREEMPTING, BidState.OPEN, BidState.ALLOCATED) == (
        at_once,
        away,
        state(pretend, placed),
    )


def test_price_stays_as_told_until_told_otherwise():
    """A set price lasts; freeing it lets the market go back at its next round."""
    pretend = cloud(market(), market(region="us-east1-a"))
    changed = pretend.raise_price("25", region="us-east1-a")
    pretend.clock.advance(days=1)
    prices = [str(quote.price) for quote in pretend.provider.market.quotes()]
    pretend.free_price()
    pretend.clock.advance(minutes=2)

    assert 1 == changed
    assert ["$1.00", "$25.00"] == prices
    assert ["$1.00", "$1.00"] == [str(quote.price) for quote in pretend.provider.market.quotes()]


def test_price_of_no_market_is_refused():
    """Naming a region or type that nobody offers says so."""
    pretend = cloud()

    with pytest.raises(NotFound, match="moon"):
        pretend.raise_price("25", region="moon")
    with pytest.raises(NotFound, match="b200"):
        pretend.raise_price("25", instance_type="8xb200")
    assert "$1.00" == price(pretend)


def test_lost_node_is_lost_until_it_boots_again():
    """Its run is cut short at once; told to come back, it boots and runs the command again."""
    pretend = cloud()
    placed = bid(pretend, "a", "5", quantity=2)
    pretend.clock.advance(minutes=3)
    pretend.lose_node("a", 1, back_after="10m")
    states = [
        node.state for node in pretend.provider.fleet.allocations([placed.id])[placed.id].nodes
    ]
    phases = [each.phase for each in pretend.provider.logs.reports([placed.id])[placed.id]]
    pretend.clock.advance(minutes=11)
    [first, second] = pretend.provider.logs.reports([placed.id])[placed.id]

    assert [NodeState.RUNNING, NodeState.LOST] == states
    assert [RunPhase.RUNNING, RunPhase.INTERRUPTED] == phases
    assert [(0, RunPhase.RUNNING), (1, RunPhase.RUNNING)] == [
        (each.attempt, each.phase) for each in (first, second)
    ]


def test_only_a_node_that_is_up_can_be_lost():
    """A rank that doesn't exist, or a node that is stopped, is refused."""
    pretend = cloud()
    placed = bid(pretend, "a", "5")
    pretend.clock.advance(minutes=3)

    with pytest.raises(NotFound):
        pretend.lose_node("a", 5)
    pretend.provider.market.amend(placed.id, paused=True)
    with pytest.raises(Conflict, match="stopped"):
        pretend.lose_node("a", 0)


def test_lagging_listing_hides_a_new_bid_for_a_while():
    """For the stated time a bid is missing from lists, though it can be asked for by its id."""
    pretend = cloud()
    pretend.lag_listing(30)
    placed = bid(pretend, "a", "5")
    hidden = pretend.provider.market.bids(name="a")
    pretend.clock.advance(seconds=30)

    assert [] == hidden
    assert placed.id == pretend.provider.market.bid(placed.id).id
    assert [placed.id] == [each.id for each in pretend.provider.market.bids(name="a")]


def test_refusal_for_quota_strikes_once():
    """The next bid is refused for quota and leaves nothing; the one after is taken."""
    pretend = cloud()
    pretend.refuse_for_quota()

    with pytest.raises(QuotaExceeded):
        bid(pretend, "a", "5")
    assert [] == pretend.provider.market.bids()
    bid(pretend, "a", "5")


def test_fault_names_the_live_tasks_when_it_finds_none():
    """A misspelt task is refused with the names of what is live."""
    pretend = cloud()
    bid(pretend, "resnet", "5")

    with pytest.raises(NotFound) as refusal:
        pretend.outbid("resent")
    assert "live: resnet" == refusal.value.hint
