"""Bid policies: how they are written, which limit they give, and why."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest
from attrs import evolve
from hypothesis import assume, given
from hypothesis import strategies as st

from flow_core.domain.money import Price, Spend
from flow_core.domain.policy import (
    Budget,
    Fixed,
    Multiple,
    Outlook,
    Percentile,
    deadline_of,
    decide,
)
from flow_core.domain.policy_form import parse_policy
from flow_core.domain.price_track import PriceTrack, track_of
from flow_core.errors import InvalidRequest
from tests import strategies

NOON = datetime(2026, 3, 2, 12, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)
EIGHT = Outlook(now=NOON, price=Price.parse(8))


@st.composite
def tracks(draw: st.DrawFn) -> PriceTrack:
    """A market of up to two days before noon, its price between $1 and $20."""
    ages = draw(st.lists(st.integers(1, 48 * 60), min_size=1, max_size=40, unique=True))
    points = [
        (NOON - timedelta(minutes=age), Price.from_cents(draw(st.integers(100, 2000))))
        for age in ages
    ]
    return track_of(points, until=NOON, source="a test")


def track(*hourly: str) -> PriceTrack:
    """A market whose prices each held for an hour, the last until noon."""
    begins = [NOON - HOUR * (len(hourly) - place) for place in range(len(hourly))]
    return track_of(zip(begins, map(Price.parse, hourly), strict=True), until=NOON)


@given(strategies.policies)
def test_a_policy_reads_back_as_it_is_written(policy):
    """`str` and `parse_policy` are each other's inverse."""
    assert policy == parse_policy(str(policy))


@pytest.mark.parametrize(
    "text, policy",
    [
        ("12.29", Fixed(Price.parse("12.29"))),
        ("$12.29", Fixed(Price.parse("12.29"))),
        (8, Fixed(Price.parse(8))),
        ("2x", Multiple(Decimal(2))),
        ("x1.5", Multiple(Decimal("1.5"))),
        ("1.5×", Multiple(Decimal("1.5"))),
        ("p90", Percentile(Decimal(90), timedelta(days=7))),
        ("P99.5/24h", Percentile(Decimal("99.5"), timedelta(hours=24))),
        ("budget:40@09:00", Budget(Spend.parse(40), "09:00")),
        ("$40@8h", Budget(Spend.parse(40), "8h")),
    ],
)
def test_what_may_be_written(text, policy):
    """The grammar, by example."""
    assert policy == parse_policy(text)


@pytest.mark.parametrize(
    "text",
    ["", "cheap", "0", "0x", "1001x", "p0", "p101", "p90/100d", "p90/soon", "budget:40", "40@", "0@8h",
     "40@25:00", "40@tomorrow", True, None, "-2x", "1e3x"],
)  # fmt: skip
def test_what_may_not(text):
    """Everything else is refused under the field's name."""
    with pytest.raises(InvalidRequest) as refused:
        parse_policy(text)

    assert ["bid_policy"] == list(refused.value.problems)


def test_a_multiple_is_of_the_price_now():
    """2x of $8 is $16, whatever the price was before."""
    assert Price.parse(16) == Multiple(Decimal(2)).limit(evolve(EIGHT, track=track("1", "2")))


def test_a_percentile_is_weighted_by_time():
    """A price that held for one hour of ten counts a tenth, however often the others changed."""
    seen = evolve(EIGHT, track=track("5", "5", "5", "5", "5", "6", "5", "9", "5", "5"))

    assert Price.parse("5.01") == parse_policy("p80/10h").limit(seen)
    assert Price.parse("6.01") == parse_policy("p90/10h").limit(seen)
    assert Price.parse("9.01") == parse_policy("p91/10h").limit(seen)


def test_a_percentile_looks_no_further_back_than_it_says():
    """What was before the window doesn't count."""
    seen = evolve(EIGHT, track=track("50", "5", "5"))

    assert Price.parse("5.01") == parse_policy("p100/2h").limit(seen)
    assert Price.parse("50.01") == parse_policy("p100/150m").limit(seen)


@given(tracks(), st.decimals("0.1", 100, places=1), st.decimals("0.1", 100, places=1))
def test_percentiles_are_monotone(history, one, two):
    """A higher percentile never gives a lower limit."""
    low, high = sorted((one, two))
    seen = evolve(EIGHT, track=history)

    assert Percentile(low).limit(seen) <= Percentile(high).limit(seen)


@given(tracks(), st.decimals("0.1", 100, places=1))
def test_a_percentile_beats_the_price_for_its_share_of_the_time(history, percent):
    """A bid that wins only above the price would have won for at least that share of the window."""
    limit = Percentile(percent).limit(evolve(EIGHT, track=history))
    held = history.stretches(0, NOON.timestamp())
    won = sum(length for price, length in held if price < limit.micros)

    assert won >= float(percent) / 100 * sum(length for _, length in held) - 1e-3


def test_a_percentile_without_a_past_says_so():
    """No history, no percentile; the message says what needs none."""
    with pytest.raises(InvalidRequest, match="price history") as refused:
        parse_policy("p90").limit(EIGHT)

    assert "2x" in (refused.value.hint or "")


@given(
    spends=st.integers(10**6, 10**10).map(Spend),
    minutes=st.integers(1, 10_000),
    instances=st.integers(1, 64),
    run=st.none() | st.integers(1, 10_000),
)
def test_a_budget_can_not_be_passed(spends, minutes, instances, run):
    """The limit, paid by every instance until the deadline or the task's own end, is within the budget, to a cent."""
    run_time = None if run is None else timedelta(minutes=run)
    seen = evolve(EIGHT, instances=instances, run_time=run_time)
    held = timedelta(minutes=min(minutes, run or minutes))
    try:
        limit = Budget(spends, f"{minutes}m").limit(seen)
    except InvalidRequest:
        assume(False)
        raise
    dearer = Price(limit.micros + 10_000)

    assert (limit * instances).over(held) <= spends
    assert (dearer * instances).over(held + timedelta(seconds=1)) > spends


def test_a_budget_of_nothing_an_hour_buys_nothing():
    """A limit under a cent is refused rather than bid."""
    with pytest.raises(InvalidRequest, match="cent"):
        Budget(Spend.parse("0.01"), "8h").limit(EIGHT)


def test_a_deadline_that_has_passed_is_refused():
    """A moment in the past leaves no hours to pay for."""
    with pytest.raises(InvalidRequest, match="has passed"):
        parse_policy("budget:40@2026-03-02T09:00Z").limit(EIGHT)


@pytest.mark.parametrize(
    "text, hour, day",
    [("13:00", 13, 2), ("12:00", 12, 3), ("09:00", 9, 3), ("09:00+05:00", 4, 3), ("8h", 20, 2), ("+90m", 13.5, 2)],
)  # fmt: skip
def test_a_time_of_day_is_the_next_one(text, hour, day):
    """Times are in UTC unless they say otherwise; one that has been today is tomorrow's."""
    midnight = datetime(2026, 3, day, tzinfo=timezone.utc)

    assert midnight + HOUR * hour == deadline_of(text, now=NOON)


@given(strategies.policies.filter(lambda policy: "T" not in str(policy)), tracks())
def test_a_decision_explains_itself(policy, history):
    """It holds the limit, the policy as it is written, and a reason; what was looked at has a value."""
    try:
        decision = decide(policy, evolve(EIGHT, track=history))
    except InvalidRequest as refused:
        assume("cent" not in str(refused))
        raise

    assert (str(policy), policy.limit(evolve(EIGHT, track=history))) == (
        decision.policy,
        decision.limit,
    )
    assert decision.why
    assert all(each.name and each.value for each in decision.inputs)


def test_inputs_say_how_old_they_are():
    """The history's newest price and the quote carry who said them, and when."""
    seen = evolve(EIGHT, track=track("5", "6"), price_source="a market", price_as_of=NOON - HOUR)
    [past] = decide(parse_policy("p90"), seen).inputs
    [now] = decide(parse_policy("2x"), seen).inputs

    assert NOON - HOUR == past.as_of
    assert "2 prices from $5.00 to $6.00" in past.value
    assert ("a market", NOON - HOUR) == (now.source, now.as_of)


@given(tracks())
def test_a_track_is_what_it_was_made_of(history):
    """Stretches cover the track from end to end, and each price is the one at its beginning."""
    held = history.stretches(0, 1e12)
    begin = history.starts[0]
    for price, length in held:
        assert price == history.prices[history.place(begin)]
        begin += length

    assert abs(begin - history.end) < 1e-3
