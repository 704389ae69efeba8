"""What holding nodes costs in the pretend cloud: held time times price, and nothing else."""

from __future__ import annotations

from datetime import timedelta

import pytest

from flow_core.domain.budget import spent
from flow_core.domain.money import Price, Spend
from tests.mock.bidders import bid, cloud, market


def test_starting_is_not_charged():
    """Paid time begins when the nodes run, not when they were granted."""
    pretend = cloud()
    placed = bid(pretend, "a", "5", quantity=2)
    pretend.clock.advance(minutes=2, seconds=19)
    before = pretend.provider.usage.usage([placed.id])[placed.id]
    pretend.clock.advance(seconds=1)
    [stretch] = pretend.provider.usage.usage([placed.id])[placed.id]

    assert [] == before
    assert (2, Price.parse("1"), pretend.clock.now(), None) == (
        stretch.nodes,
        stretch.price,
        stretch.since,
        stretch.until,
    )


def test_price_is_read_again_each_round():
    """A stretch ends where the price changed, and the next begins there, without a gap."""
    pretend = cloud()
    placed = bid(pretend, "a", "5")
    pretend.clock.advance(hours=1)
    pretend.raise_price("2")
    at = pretend.clock.now()
    pretend.clock.advance(hours=1)
    first, second = pretend.provider.usage.usage([placed.id])[placed.id]

    assert (at, at, None) == (first.until, second.since, second.until)
    assert ["$1.00", "$2.00"] == [str(first.price), str(second.price)]


def test_nothing_is_paid_while_preempted_or_paused():
    """Between the end of the notice and the next running node, and while paused, no time is charged."""
    pretend = cloud()
    placed = bid(pretend, "a", "5")
    pretend.clock.advance(hours=1)
    pretend.raise_price("6", lasts="1h")
    pretend.clock.advance(minutes=5)
    stopped = pretend.clock.now()
    pretend.clock.advance(hours=2)
    pretend.provider.market.amend(placed.id, paused=True)
    paused = pretend.clock.now()
    pretend.clock.advance(hours=5)
    stretches = pretend.provider.usage.usage([placed.id])[placed.id]

    assert all(each.until is not None for each in stretches)
    assert paused == stretches[-1].until
    assert not any(
        each.since < stopped + timedelta(minutes=55) and each.until > stopped for each in stretches
    )


def test_nobody_pays_above_the_limit_even_under_notice():
    """Who was outbid pays its own limit for what is left of the notice, not the price it would not pay."""
    pretend = cloud()
    placed = bid(pretend, "a", "5")
    pretend.clock.advance(hours=1)
    pretend.raise_price("60")
    pretend.clock.advance(minutes=6)
    stretches = pretend.provider.usage.usage([placed.id])[placed.id]

    assert ["$1.00", "$5.00"] == [str(each.price) for each in stretches]


@pytest.mark.parametrize(("bill_notice", "minutes"), [(True, 65), (False, 60)])
def test_billing_of_the_notice_is_a_choice(bill_notice: bool, minutes: int):
    """Whether the notice is charged is unknown, so it can be switched."""
    pretend = cloud(bill_notice=bill_notice)
    placed = bid(pretend, "a", "5")
    pretend.clock.advance(minutes=2, seconds=20)
    pretend.clock.advance(hours=1)
    pretend.raise_price("6")
    pretend.clock.advance(hours=3)
    stretches = pretend.provider.usage.usage([placed.id])[placed.id]

    assert timedelta(minutes=minutes) == sum(
        (each.until - each.since for each in stretches), timedelta(0)
    )


def test_lost_node_is_not_charged():
    """From the moment a node is lost, only its fellows are paid for."""
    pretend = cloud()
    placed = bid(pretend, "a", "5", quantity=3)
    pretend.clock.advance(hours=1)
    pretend.lose_node("a", 1)
    pretend.clock.advance(hours=1)
    stretches = pretend.provider.usage.usage([placed.id])[placed.id]

    assert [3, 2] == [each.nodes for each in stretches]


def test_ledger_adds_up_every_bid_that_ever_was():
    """Two hours of two instances at a dollar are four dollars, also after the bid has ended."""
    pretend = cloud()
    placed = bid(pretend, "a", "5", quantity=2)
    pretend.clock.advance(minutes=2, seconds=20)
    pretend.clock.advance(hours=2)
    pretend.provider.market.withdraw(placed.id)
    pretend.clock.advance(days=1)
    ledger = pretend.ledger()

    assert Spend.parse("4.00") == ledger.total
    assert [("a", False)] == [(line.name, line.is_live) for line in ledger.lines]
    assert Spend.parse("4.00") == spent(
        pretend.provider.usage.usage([placed.id])[placed.id], pretend.clock.now()
    )


def test_usage_answers_for_every_bid_asked_about():
    """A bid that never held anything, or doesn't exist, has no stretches rather than no answer."""
    pretend = cloud(market(price="8.00"))
    placed = bid(pretend, "a", "5")

    assert {placed.id: [], "bid_x": []} == pretend.provider.usage.usage([placed.id, "bid_x"])
