"""Budgets: what holding nodes has cost, and how long a ceiling lasts."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from flow_core.domain.budget import Usage, lease_ends, spent
from flow_core.domain.money import Price, Spend
from tests.strategies import EPOCH

prices = st.integers(0, 10**9).map(Price)
nodes = st.integers(1, 1_000)
spans = st.integers(0, 10**12).map(lambda micros: timedelta(microseconds=micros))
amounts = st.integers(0, 10**13).map(Spend)


def held(price: Price, count: int, span: timedelta, *, since: datetime = EPOCH) -> Usage:
    """A closed stretch."""
    return Usage(bid_id="b", nodes=count, price=price, since=since, until=since + span)


def test_an_hour_costs_its_price():
    """Four nodes at $2.50 for 90 minutes are $15.00."""
    stretch = held(Price(2_500_000), 4, timedelta(minutes=90))

    assert Spend(15_000_000) == stretch.cost(EPOCH) == spent([stretch], EPOCH)
    assert Spend.ZERO == spent([], EPOCH)


@given(price=prices, count=nodes, first=spans, second=spans)
def test_a_stretch_may_be_cut_anywhere(price, count, first, second):
    """Two stretches that meet cost what the whole does, but for the rounding of one cut."""
    whole = held(price, count, first + second).cost(EPOCH)
    parts = spent(
        [held(price, count, first), held(price, count, second, since=EPOCH + first)], EPOCH
    )

    assert abs(whole.micros - parts.micros) <= 1


@given(price=prices, count=nodes, span=spans, later=spans)
def test_an_open_stretch_grows_with_time(price, count, span, later):
    """What goes on costs as if it ended now; what has ended costs the same ever after; before it began it's nothing."""
    opened = Usage(bid_id="b", nodes=count, price=price, since=EPOCH)

    assert held(price, count, span).cost(EPOCH + later) == opened.cost(EPOCH + span)
    assert opened.cost(EPOCH + span) <= opened.cost(EPOCH + span + later)
    assert Spend.ZERO == opened.cost(EPOCH - later)


@given(ceiling=amounts, so_far=amounts, limit=prices, count=nodes)
def test_a_lease_never_passes_its_ceiling(ceiling, so_far, limit, count):
    """Held to the lease's end at the full limit the ceiling stands, and two seconds more would reach it."""
    ends = lease_ends(ceiling, so_far, limit=limit, nodes=count, now=EPOCH)
    if ends == EPOCH:
        soonest = (limit * count).over(timedelta(seconds=1))

        assert so_far >= ceiling or (so_far + soonest) >= ceiling
    elif ends < EPOCH + timedelta(days=365_000):
        cost = (limit * count).over(ends - EPOCH)
        more = (limit * count).over(ends - EPOCH + timedelta(seconds=2))

        assert so_far + cost <= ceiling
        assert so_far + more >= ceiling


@given(ceiling=amounts, limit=prices, count=nodes, more=amounts)
def test_a_lease_ends_sooner_the_more_is_spent(ceiling, limit, count, more):
    """What was spent only shortens a lease, and never into the past."""
    fresh = lease_ends(ceiling, Spend.ZERO, limit=limit, nodes=count, now=EPOCH)
    later = lease_ends(ceiling, more, limit=limit, nodes=count, now=EPOCH)

    assert EPOCH <= later <= fresh


def test_what_costs_nothing_lasts_for_ever():
    """A limit of nothing, or one so small that dates end first, leases to the end of time, in the given zone."""
    for limit in (Price.ZERO, Price(1)):
        ends = lease_ends(Spend(10**15), Spend.ZERO, limit=limit, nodes=1, now=EPOCH)

        assert datetime.max.replace(tzinfo=timezone.utc) == ends


@given(price=prices, count=nodes, span=spans, begin=spans, length=spans)
def test_what_lies_within_a_time_is_no_more_than_all(price, count, span, begin, length):
    """A stretch cut to a window lies in both, and costs at most what each would allow."""
    stretch = held(price, count, span)
    since, until = EPOCH + begin, EPOCH + begin + length
    part = stretch.within(since, until)
    if part is None:
        assert span <= begin or length == timedelta(0) or span == timedelta(0)
        return
    assert part.until is not None
    assert since <= part.since < part.until <= min(until, EPOCH + span)
    assert part.cost(until).micros <= stretch.cost(until).micros
