"""Whole worlds: how crowds wander, how little is done in three quiet days, and that chance comes from a seed."""

from __future__ import annotations

from datetime import timedelta

import pytest

from flow_providers.mock.rules import Mood
from tests.mock.bidders import REGION, bid, cloud, market


def test_calm_crowd_never_outbids_the_default_limit():
    """However a calm market wanders for a month, one and a half times any of its prices outlasts it."""
    pretend = cloud(market(price="8.00"), mood=Mood.CALM)
    quote = pretend.provider.market.quotes()[0]
    pretend.clock.advance(days=30)
    since = pretend.clock.now() - timedelta(days=30)
    history = pretend.provider.catalog.history(
        quote.type_id, region=REGION, since=since, until=pretend.clock.now()
    )
    prices = [point.price.micros for point in history]

    assert len(set(prices)) > 10
    assert max(prices) < min(prices) * 3 / 2
    assert sorted(point.at for point in history) == [point.at for point in history]


def test_three_days_with_four_preemptions_take_few_steps():
    """Between events nothing is looked at: three days are as many turns as things that happened."""
    pretend = cloud()
    pretend.on("python train.py", takes="72h", checkpoints=True)
    bid(pretend, "a", "5", command="python train.py")
    pretend.clock.advance(minutes=3)
    before = pretend.engine.changes
    for _ in range(4):
        pretend.clock.advance(hours=10)
        pretend.outbid("a")
    pretend.clock.advance(days=3)

    assert pretend.engine.changes - before < 60


@pytest.mark.parametrize("other", [7, 8])
def test_same_seed_and_calls_make_the_same_world(other: int):
    """Ids and prices are drawn from the seed alone: equal seeds, equal worlds; others differ."""

    def played(seed: int) -> object:
        pretend = cloud(market(price="8.00"), mood=Mood.STORMY, seed=seed)
        placed = bid(pretend, "a", "12")
        pretend.clock.advance(days=2)
        return placed, pretend.ledger(), pretend.provider.market.quotes()

    assert (played(7) == played(other)) is (other == 7)


def test_ids_have_the_services_form():
    """Ids are a prefix and sixteen letters or digits."""
    pretend = cloud()
    placed = bid(pretend, "a", "5")
    pretend.clock.advance(minutes=2)
    node = pretend.provider.fleet.allocations([placed.id])[placed.id].nodes[0]
    found = [placed.id, node.id, placed.type_id, pretend.provider.account.me().id]

    assert ["bid", "inst", "it", "user"] == [each.partition("_")[0] for each in found]
    assert {(16, True)} == {
        (len(tail), tail.isalnum()) for tail in (each.partition("_")[2] for each in found)
    }


def test_worlds_side_by_side_meet_at_ports_of_their_own():
    """The first jobs of twenty worlds, which may share a machine, meet at ports of the range and, by chance, apart."""

    def first(seed: int) -> int:
        pretend = cloud(seed=seed)
        placed = bid(pretend, "a", "5")
        pretend.clock.advance(minutes=2)
        return pretend.provider.fleet.allocations([placed.id])[placed.id].rendezvous_port

    ports = [first(seed) for seed in range(20)]

    assert all(20_000 <= port < 30_000 for port in ports)
    assert 18 <= len(set(ports))
