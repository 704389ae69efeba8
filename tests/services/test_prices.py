"""Prices over time: the past asked for in weeks, where it is missing, and what policies make of it."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from attrs import define, evolve, field, frozen

import flow
from flow_adapters.wiring import connect_in_memory
from flow_core.domain.backtest import Trial
from flow_core.domain.bid import Quote
from flow_core.domain.money import Price, Spend
from flow_core.domain.policy import Foreign, Input
from flow_core.domain.policy_form import parse_policy
from flow_core.domain.shape import InstanceShape
from flow_core.domain.task import TaskSpec
from flow_core.errors import InvalidRequest, NoCapacity, Unsupported
from flow_core.ports.catalog import PricePoint
from flow_core.services.ports import Defaults
from flow_core.services.prices import Prices
from flow_core.services.session import Session
from flow_providers.mock import PretendCloud
from flow_providers.mock.rules import IN_MEMORY, Mood

H100 = InstanceShape("h100", 8)
DAY = timedelta(days=1)


@define
class Remembering:
    """Implements `ports.catalog.Catalog`: a price of a dollar for each day of the month, and what it was asked."""

    asked: list[timedelta] = field(factory=list)
    knows: bool = True

    def history(self, type_id, *, region, since, until):
        self.asked.append(until - since)
        days = range((until - since).days + 1) if self.knows else ()
        return [
            PricePoint(type_id=type_id, region=region, at=since + DAY * day, price=Price.parse((since + DAY * day).day))
            for day in days
            if since + DAY * day <= until
        ]  # fmt: skip


@pytest.fixture
def cloud() -> PretendCloud:
    """A cloud whose prices move."""
    return PretendCloud(rules=evolve(IN_MEMORY, mood=Mood.CALM))


@pytest.fixture
def session(cloud) -> Session:
    """A session with it."""
    return connect_in_memory(cloud)


def remembering(session: Session, catalog: object) -> Prices:
    """The service over another catalog."""
    return Prices(evolve(session.ports, provider=evolve(session.provider, catalog=catalog)))


def quote(session: Session) -> Quote:
    """The cheapest market of 8 H100."""
    return session.prices.market(H100, None)


def test_a_long_past_is_asked_for_by_the_week(session):
    """Providers thin what they tell, so ninety days are thirteen calls, the last of six days."""
    catalog = Remembering()
    track = remembering(session, catalog).track(quote(session), back=DAY * 90)

    assert [timedelta(days=7)] * 12 + [timedelta(days=6)] == catalog.asked
    assert 90 == len(track.prices)
    assert session.provider.clock.now() == track.until


def test_a_market_without_a_past_has_its_price_of_now(session):
    """A newborn market's percentile is the price that it has."""
    found = quote(session)
    track = remembering(session, Remembering(knows=False)).track(found, back=DAY)

    assert [found.price.micros] == list(track.prices)


def test_a_provider_that_tells_no_history_is_said(session):
    """A percentile can't be had there; what can is in the hint."""
    with pytest.raises(Unsupported, match="tells no price history") as refused:
        remembering(session, None).track(quote(session), back=DAY)

    assert "2x" in (refused.value.hint or "")


def test_a_multiple_asks_for_no_past(session, cloud):
    """Only policies that look back cost a call of the catalog."""
    catalog = Remembering()
    blind = Session(evolve(session.ports, provider=evolve(session.provider, catalog=catalog)))
    blind.tasks.plan(TaskSpec(command="true", instance_type=H100, bid_policy=parse_policy("2x")))
    seen = blind.tasks.plan(
        TaskSpec(command="true", instance_type=H100, bid_policy=parse_policy("p50/2d"))
    )

    assert [DAY * 2] == catalog.asked
    assert seen.policy is not None
    assert seen.limit == seen.policy.limit


def test_a_submitted_task_bids_what_its_policy_said(session, cloud):
    """The bid's limit and the record's are the policy's; the history of the task says why."""
    spec = TaskSpec(command="true", instance_type=H100, bid_policy=parse_policy("p90/2d"))
    plan = session.tasks.plan(spec)
    record = session.tasks.submit(spec, plan=plan)

    assert plan.limit == record.limit == session.provider.market.bid(record.bid_id or "").limit
    assert "p90/2d: the price was at or under" in session.tasks.history(record.name)[0].why


@frozen
class ByNight:
    """Implements `BidPolicy`, as anyone may: twice the price before six, the price and a tenth later."""

    times: int = 2
    window: timedelta | None = None
    total: Spend | None = None

    def limit(self, outlook):
        return outlook.price.scaled(Decimal(self.times if outlook.now.hour < 6 else "1.1"))

    def why(self, outlook):
        return f"it is {outlook.now:%H:%M}"

    def inputs(self, outlook):
        return (Input("hour", str(outlook.now.hour)),)

    def deadline(self, now):
        return None

    def __str__(self):
        return f"by-night {self.times}x"


def test_anyone_may_have_a_policy(session):
    """An object that implements the port gives the limit; the task keeps its name, and a back-test plays it."""
    market = quote(session)
    task = flow.run(
        "true", instance_type="8xh100", code=None, bid_policy=ByNight(), session=session
    )
    record = session.tasks.record(task.name)
    history = session.prices.track(market, back=DAY * 9)
    trial = Trial(policy=ByNight(), hours=timedelta(hours=2), within=timedelta(hours=4))
    played = session.prices.backtest(trial, market, history, runs=20, seed=1)

    assert market.price.scaled(Decimal(2)) == record.limit
    assert Foreign("by-night 2x") == record.spec.bid_policy
    assert "by-night 2x: it is 00:00" in session.tasks.history(task.name)[0].why
    assert 1 == played.report.won.value
    with pytest.raises(InvalidRequest, match="by-night 2x: is a policy of a program's own"):
        session.tasks.plan(evolve(record.spec, name=None))


def test_the_configured_ceiling_caps_a_policy(cloud):
    """Without a maximum of the task's own, the user's setting counts."""
    session = connect_in_memory(cloud, defaults=Defaults(ceiling=Price.parse(9)))
    spec = TaskSpec(command="true", instance_type=H100, bid_policy=parse_policy("3x"))

    assert Price.parse(9) == session.tasks.plan(spec).limit


def test_own_bids_are_those_of_the_market_and_the_time(session, cloud):
    """A task elsewhere isn't among them, nor one that ended before; preemptions are seen as they were."""
    cloud.on("train", takes="9h", checkpoints=True)
    here = quote(session)
    spec = TaskSpec(
        command="train", instance_type=H100, region=here.region, bid_policy=parse_policy("1.5x")
    )
    session.tasks.submit(evolve(spec, name="one"))
    cloud.clock.advance(hours=2)
    cloud.outbid("one", lasts="30m")
    cloud.clock.advance(hours=12)
    session.tasks.submit(evolve(spec, name="two", instance_type=InstanceShape("a100", 8)))
    [own] = session.prices.own(here, back=DAY)

    assert ("one", 2, 1) == (own.task, len(own.wins), len(own.losses))
    assert own.wins[0] < own.losses[0] < own.wins[1]
    cloud.clock.advance(days=2)
    assert [] == session.prices.own(here, back=DAY)


def test_a_shape_that_nobody_sells_has_no_market(session):
    """As for a task."""
    with pytest.raises(NoCapacity):
        session.prices.market(InstanceShape("l4", 8), None)
