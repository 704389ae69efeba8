"""Back-tests: single runs by hand, what must hold of all of them, and how sure a report may be."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from flow_core.domain.auction import Order, clear
from flow_core.domain.backtest import Played, Replay, Terms, Trial, play
from flow_core.domain.backtest_report import report, share
from flow_core.domain.money import Price
from flow_core.domain.policy import Fixed
from flow_core.domain.policy_form import parse_policy
from flow_core.domain.price_track import PriceTrack, track_of
from flow_core.domain.price_turns import Turns
from flow_core.domain.price_walk import CALM, STORMY, Walk, walked
from flow_core.domain.price_window import rolling
from flow_core.errors import InvalidRequest
from tests.strategies import EPOCH

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
START = EPOCH.timestamp()


def market(*hourly: float) -> PriceTrack:
    """A market whose prices, in dollars, each held for an hour from EPOCH on."""
    points = [(EPOCH + HOUR * place, Price.parse(price)) for place, price in enumerate(hourly)]
    return track_of(points, until=EPOCH + HOUR * len(hourly))


def trial(policy: str, hours: float, within: float, **more: object) -> Trial:
    """A task of so many hours."""
    return Trial(
        policy=parse_policy(policy),
        hours=HOUR * hours,
        within=HOUR * within,
        **more,  # type: ignore[arg-type]
    )


def run(track: PriceTrack, asked: Trial, at_hour: float = 0) -> Played:
    """One run that bids a second after so many hours, so that the next round is two minutes after the hour."""
    return Replay(track, asked).play(START + at_hour * 3600 + 1)


walks = st.builds(
    walked,
    st.sampled_from([CALM, STORMY, Walk(0.6, 0.1, 9.0)]),
    base=st.integers(300, 2000).map(Price.from_cents),
    floor=st.just(Price.parse(2)),
    until=st.just(EPOCH),
    back=st.just(DAY * 4),
    step=st.sampled_from([timedelta(minutes=2), timedelta(minutes=7), timedelta(minutes=30), HOUR]),
    chance=st.integers(0, 10**6).map(random.Random),
    source=st.just("a test"),
)
limits = st.integers(200, 2500).map(Price.from_cents)
begins = st.integers(1, 3 * 86_400 - 1).map(lambda seconds: START - 4 * 86_400 + seconds)


def test_a_win_starts_at_the_next_round_and_pays_the_market():
    """Two minutes at most until the grant; every hour costs the price of that hour, whatever the limit."""
    done = run(market(5, 6, 7, 7), trial("20", hours=2, within=4))

    assert 119 == done.first_node_s
    assert 119 + 7200 == done.done_s
    assert done.cost == pytest.approx((58 * 5 + 60 * 6 + 2 * 7) / 60)
    assert 0 == done.preemptions


def test_a_limit_at_the_price_loses():
    """Who was there first is served first: equality isn't enough, a cent more is."""
    assert run(market(5, 5), trial("5", hours=1, within=2)).first_node_s is None
    assert run(market(5, 5), trial("5.01", hours=1, within=2)).first_node_s is not None


def test_at_the_floor_equality_is_enough():
    """A market at its reserve has instances to spare, and takes who bids just that."""
    asked = trial("5", hours=1, within=2, floor=Price.parse(5))

    assert run(market(5, 5), asked).first_node_s is not None


def test_a_preemption_pays_for_its_notice_at_the_limit_and_waits_again():
    """Outbid for an hour: five minutes more at the limit, then nothing, then the rest at the price."""
    done = run(market(5, 9, 5, 5, 5), trial("6", hours=2, within=5))
    first, notice = 3600 - 120, 300

    assert 1 == done.preemptions
    assert done.done_s == 7200 - 1 + (7200 - first - notice)
    assert done.cost == pytest.approx((first * 5 + notice * 6 + (7200 - first - notice) * 5) / 3600)


def test_a_price_that_falls_back_within_the_notice_rescues():
    """Four minutes over the limit cost the limit, and take nothing away."""
    points = [(0, 5), (60, 9), (64, 5)]
    track = track_of(
        [(EPOCH + timedelta(minutes=at), Price.parse(price)) for at, price in points],
        until=EPOCH + HOUR * 4,
    )
    done = run(track, trial("6", hours=2, within=3))

    assert 0 == done.preemptions
    assert 119 + 7200 == done.done_s
    assert done.cost == pytest.approx((116 * 5 + 4 * 6) / 60)


def test_more_than_the_market_has_never_wins():
    """All instances or none."""
    asked = trial("20", hours=1, within=2, instances=8)

    assert run(market(5, 5), evolve(asked, capacity=7)).first_node_s is None
    assert run(market(5, 5), evolve(asked, capacity=8)).first_node_s is not None


def test_a_deadline_ends_a_run():
    """With a budget until an hour from now, nothing is held after that hour."""
    done = run(market(5, 5, 5, 5), trial("budget:40@1h", hours=3, within=4))

    assert done.done_s is None
    assert 3600 - 119 == pytest.approx(done.held_s)


def test_a_limit_under_the_floor_is_no_bid():
    """It is counted as refused, and wins nothing."""
    done = run(market(5, 5), trial("1", hours=1, within=2, floor=Price.parse(2)))

    assert (None, None, 0.0) == (done.limit, done.first_node_s, done.cost)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=40), st.integers(0, 9), st.data())
def test_a_turn_is_the_first_price_across_a_level(prices, level, data):
    """From any place on, the next price over a level, or within it, is found by leaps as by looking at each."""
    place = data.draw(st.integers(0, len(prices) - 1))
    turns = Turns(prices)
    rest = range(place, len(prices))

    assert next((each for each in rest if prices[each] > level), len(prices)) == turns.above(
        level, place
    )
    assert next((each for each in rest if prices[each] <= level), len(prices)) == turns.within(
        level, place
    )


@given(walks, limits, limits, begins)
def test_a_higher_limit_never_wins_less(track, one, two, begun):
    """It has its nodes no later, holds them no shorter, and is done no later."""
    low, high = (
        Replay(track, evolve(trial("1", 12, 24), policy=Fixed(each))).play(begun)
        for each in sorted((one, two))
    )  # fmt: skip

    assert high.held_s >= low.held_s - 1e-6
    if low.first_node_s is not None:
        assert high.first_node_s is not None
        assert high.first_node_s <= low.first_node_s
    if low.done_s is not None:
        assert high.done_s is not None
        assert high.done_s <= low.done_s + 1e-6


@given(walks, limits, begins, st.integers(1, 9))
def test_a_cost_never_passes_the_limit_for_the_time(track, limit, begun, instances):
    """What is paid is at most limit x instances x time held, which is at most the hours asked for."""
    asked = evolve(trial("1", 12, 24, instances=instances), policy=Fixed(limit))
    done = Replay(track, asked).play(begun)

    assert done.cost <= limit.micros / 1e6 * instances * done.held_s / 3600 + 1e-6
    assert done.held_s <= 12 * 3600 + 1e-6
    assert (done.done_s is not None) == (done.held_s >= 12 * 3600 - 1e-6)


@given(walks, st.sampled_from(["p50/1d", "p90/1d", "2x", "budget:60@8h"]), limits, begins)
def test_a_cap_holds_over_every_policy(track, policy, cap, begun):
    """No run bids more than the cap."""
    done = Replay(track, trial(policy, 6, 12, cap=cap)).play(begun)

    assert done.limit is not None
    assert done.limit <= cap


@given(walks, st.sampled_from(["20@2h", "60@8h", "300@16h"]), begins, st.integers(1, 4))
def test_a_budget_is_kept_in_every_run(track, budget, begun, instances):
    """However prices go, no run costs more than its budget."""
    done = Replay(track, trial(f"budget:{budget}", 12, 24, instances=instances)).play(begun)

    assert done.cost <= float(budget.partition("@")[0]) + 1e-6


@given(walks, limits, st.integers(1, 4), st.integers(1, 4))
def test_runs_meet_the_auction_that_clears_the_market(track, limit, instances, capacity):
    """For every price of the past, who wins and what they pay is what `clear` says with the others as the reserve."""
    asked = evolve(trial("1", 1, 2, instances=instances, capacity=capacity), policy=Fixed(limit))
    replay = Replay(track, asked)
    for place, price in enumerate(replay._prices[:40]):
        result = clear(
            [Order("bid", limit, instances, 1), Order("others", Price(price), capacity, 0)],
            capacity=capacity,
            reserve=Price.ZERO,
        )
        wins = price <= replay._highest_beaten(limit)

        assert ("bid" in result.winners) == wins
        assert not wins or replay._paid[place] == price


@given(walks, st.integers(1, 100), st.integers(1, 100), st.lists(begins, min_size=2, max_size=12))
def test_a_rolling_track_answers_the_same(track, percent, hours, moments):
    """Whichever way the window moves, quantiles are those of the plain track."""
    quick = rolling(track)
    for until in [*sorted(moments), *moments]:
        window = {"since": until - hours * 3600, "until": until}

        assert track.quantile(percent / 100, **window) == quick.quantile(percent / 100, **window)


def test_equal_draws_give_equal_runs():
    """Everything drawn comes from the chance that was passed in."""
    track = market(*range(4, 60))
    asked = trial("p50/6h", 3, 6)
    one, two = (play(track, asked, runs=50, chance=random.Random(7)) for _ in range(2))

    assert one == two
    assert one != play(track, asked, runs=50, chance=random.Random(8))


def test_a_history_too_short_for_a_run_is_told():
    """The message says how much there is, and what to do."""
    with pytest.raises(InvalidRequest, match="doesn't fit into a history of 3h") as refused:
        play(market(5, 5, 5), trial("9", 12, 24), runs=1, chance=random.Random(1))

    assert "--since" in (refused.value.hint or "")


def test_a_report_adds_up():
    """Chances are shares of the runs, amounts their means, and each lies within its interval."""
    runs = [
        Played(begun=0, limit=Price.parse(5), first_node_s=60, done_s=3660, held_s=3600, cost=5),
        Played(begun=90_000, limit=Price.parse(7), first_node_s=120, held_s=1800, preemptions=2, cost=3),
        Played(begun=180_000, limit=None),
    ]  # fmt: skip
    told = report(runs, within=HOUR, chance=random.Random(1))

    assert (2 / 3, 1 / 3) == (told.won.value, told.done.value)
    assert told.preempted is not None
    assert 0.5 == told.preempted.value
    assert told.first_node_s is not None
    assert 90 == told.first_node_s.value
    assert (1, Price.parse(5), Price.parse(7)) == (told.refused, told.least, told.most)
    assert 3 == told.blocks
    assert told.cost.low <= told.cost.value == 8 / 3 <= told.cost.high


def test_more_runs_over_the_same_history_are_no_more_sure():
    """A chance's interval is as wide as the number of blocks makes it; playing more runs adds none."""
    runs = [Played(begun=day * 86_400.0, limit=Price.parse(5)) for day in range(10)]
    few = report(runs, within=HOUR, chance=random.Random(1))
    many = report(runs * 50, within=HOUR, chance=random.Random(1))

    assert few.won == many.won
    assert 0.25 < few.won.high < 0.35


@given(st.floats(0, 1), st.integers(1, 1000))
def test_an_interval_holds_its_value_and_stays_a_chance(value, observations):
    """It lies between 0 and 1, and narrows as there is more to see."""
    found = share(value, observations)
    wider = share(value, max(observations // 2, 1))

    assert 0 <= found.low <= value <= found.high <= 1
    assert found.high - found.low <= wider.high - wider.low + 1e-9


def test_intervals_hold_the_truth_as_often_as_they_say():
    """Over markets drawn afresh, a 95 % interval for the chance of winning holds the long run's in 18 of 20 or more."""
    asked = evolve(trial("1", 2, 4), policy=Fixed(Price.parse("8.40")), terms=Terms(tick_s=600))

    def tell(seed: int, days: int) -> tuple[float, float, float]:
        track = walked(
            STORMY, base=Price.parse(8), floor=Price.parse(2), until=EPOCH, back=DAY * days, step=HOUR * 2,
            chance=random.Random(seed), source="",
        )  # fmt: skip
        runs = play(track, asked, runs=300 if days < 100 else 6000, chance=random.Random(seed))
        found = report(runs, within=asked.within, chance=random.Random(seed))
        return found.won.low, found.won.value, found.won.high

    truth = tell(0, 3000)[1]
    held = sum(low <= truth <= high for low, _, high in (tell(seed, 30) for seed in range(1, 21)))

    assert 0.2 < truth < 0.98
    assert held >= 18
