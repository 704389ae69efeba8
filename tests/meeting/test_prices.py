"""Bid policies through the Mithril adapter, on the history that the simulator tells over its API."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest
from attrs import evolve

from flow_adapters.clocks import ManualClock
from flow_adapters.journal import SqliteJournal
from flow_adapters.memory import MemoryLogKeep, SteppedWatch, UnpackedCode
from flow_adapters.node_files import load_node_files
from flow_adapters.vault import HeldVault
from flow_core.domain.backtest import Trial
from flow_core.domain.money import Price
from flow_core.domain.policy_form import parse_policy
from flow_core.domain.shape import InstanceShape
from flow_core.domain.task import TaskSpec
from flow_core.services.ports import Ports
from flow_core.services.session import Session
from flow_providers.mock.http.service import in_memory
from flow_providers.mock.http.transport import DoorTransport
from flow_providers.mock.memory_nodes import MemoryNodes
from flow_providers.mock.past import past_of
from flow_providers.mock.rules import IN_MEMORY, Mood
from tests.meeting.site import connect, told_shell, whereabouts

H100 = InstanceShape("h100", 8)
DAY = timedelta(days=1)
CALM = evolve(IN_MEMORY, mood=Mood.CALM)


@pytest.fixture
def clock() -> ManualClock:
    """The time of the service and of the adapter."""
    return ManualClock()


@pytest.fixture
def service(clock):
    """A service whose prices move."""
    return in_memory(clock, rules=CALM, host=MemoryNodes(clock), whereabouts=whereabouts)


@pytest.fixture
def session(clock, service) -> Session:
    """A session with it through the adapter."""
    provider = connect(
        service, clock=clock, shell=told_shell(MemoryNodes(clock)), transport=DoorTransport(service.handle)
    )  # fmt: skip
    journal = SqliteJournal(":memory:")
    return Session(
        Ports(
            provider=provider, journal=journal, clock=clock, code=UnpackedCode(),
            watch=SteppedWatch(clock, lambda: journal.changes()), chance=random.Random(1),
            node_files=load_node_files(), log_keep=MemoryLogKeep(), vault=HeldVault({}),
        )
    )  # fmt: skip


def test_a_percentile_sees_what_the_market_did(session, service, clock):
    """Sampled by the API, a fortnight's median is within cents of that of every price there was."""
    clock.advance(hours=1)
    quote = session.prices.market(H100, None)
    told = session.prices.track(quote, back=DAY * 14)

    def truth(world, now):
        [market] = [
            each for each in world.markets.live() if (each.type_id, each.region) == (quote.type_id, quote.region)
        ]  # fmt: skip
        return past_of(market, world.meta, service.engine.rules, since=now - DAY * 14)

    prices = sorted(price.micros for _, price in service.engine.look(None, truth))
    median = told.quantile(0.5, since=told.starts[0], until=told.end)

    assert timedelta(days=13, hours=23) < told.until - told.since
    assert abs(median.micros - prices[len(prices) // 2]) <= 30_000


def test_a_policy_chooses_the_limit_of_a_bid(session, clock):
    """The plan's limit comes from Mithril's history, and its inputs say so."""
    spec = TaskSpec(command="true", instance_type=H100, bid_policy=parse_policy("p90/7d"))
    plan = session.tasks.plan(spec)

    assert plan.policy is not None
    assert plan.limit == plan.policy.limit > Price.ZERO
    assert ["mithril's price history"] == [each.source for each in plan.policy.inputs]


def test_a_backtest_plays_on_mithrils_history(session):
    """Ninety days of samples are enough to play on, and a generous limit always wins."""
    quote = session.prices.market(H100, None)
    track = session.prices.track(quote, back=DAY * 90)
    trial = Trial(
        policy=parse_policy("2x"), hours=timedelta(hours=6), within=timedelta(hours=12), floor=quote.floor
    )  # fmt: skip
    told = session.prices.backtest(trial, quote, track, runs=200, seed=1).report

    assert 1.0 == told.won.value
    assert 60 < told.blocks
