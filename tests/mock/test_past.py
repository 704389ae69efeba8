"""The past of a pretend market: as long as a policy may look, joined to the present, the same whoever asks."""

from __future__ import annotations

from datetime import timedelta

from attrs import evolve

from flow_core.domain.bid import Quote
from flow_core.domain.price_walk import CALM as CALM_WALK
from flow_core.ports.catalog import PricePoint
from flow_providers.mock import PretendCloud
from flow_providers.mock.past import REACH
from flow_providers.mock.rules import IN_MEMORY, Mood

CALM = evolve(IN_MEMORY, mood=Mood.CALM)


def history(cloud: PretendCloud, *, back: timedelta, until: timedelta = timedelta(0)):
    """The first market's history, and its quote."""
    quote = first(cloud)
    now = cloud.clock.now()
    return cloud.provider.catalog.history(
        quote.type_id, region=quote.region, since=now - back, until=now - until
    )


def first(cloud: PretendCloud) -> Quote:
    """The quote of the 8xh100 that costs least."""
    return next(each for each in cloud.provider.market.quotes() if str(each.shape) == "8xh100")


def changes(points: list[PricePoint]) -> list[tuple[object, object]]:
    """Points as times and prices."""
    return [(point.at, point.price) for point in points]


def test_a_new_world_has_ninety_days_behind_it():
    """The oldest price is ninety days old, the newest is the one of now, and in between it has moved."""
    cloud = PretendCloud(rules=CALM)
    cloud.clock.advance(seconds=1)
    told = history(cloud, back=timedelta(days=365))

    assert timedelta(seconds=1) + REACH == cloud.clock.now() - told[0].at
    assert first(cloud).price == told[-1].price
    assert 20 < len({point.price for point in told})


def test_the_past_keeps_to_the_band_of_the_present():
    """A calm market's past lies within the band that its future keeps."""
    cloud = PretendCloud(rules=CALM)
    base = first(cloud).price.micros
    prices = [point.price.micros for point in history(cloud, back=REACH)]

    assert CALM_WALK.low * base - 10_000 <= min(prices)
    assert max(prices) <= CALM_WALK.high * base + 10_000


def test_the_past_is_the_same_whichever_part_is_asked_for():
    """A week of it is the end of nine days of it, and another world with the same seed has the same."""
    cloud, twin = PretendCloud(rules=CALM), PretendCloud(rules=CALM)
    week = changes(history(cloud, back=timedelta(days=7)))
    nine = changes(history(twin, back=timedelta(days=9)))

    assert week[1:] == [each for each in nine if each[0] > week[0][0]]


def test_a_quiet_market_has_always_cost_the_same():
    """Without other bidders there is one price."""
    assert 1 == len({point.price for point in history(PretendCloud(), back=REACH)})


def test_another_seed_has_another_past():
    """The past is drawn from the world's seed."""
    one, two = PretendCloud(rules=CALM, seed=1), PretendCloud(rules=CALM, seed=2)

    assert changes(history(one, back=REACH)) != changes(history(two, back=REACH))
