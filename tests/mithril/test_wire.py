"""The wire: any encoding that the documents or a careless server may use is read, and nothing crashes."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_core.domain.money import Price
from flow_core.domain.shape import InstanceShape
from flow_providers.mithril import wire
from flow_providers.mithril.encoding import dollars, instant, spend, when, whole, written
from flow_providers.mithril.shapes import shape_of
from tests.mithril.desk import body
from tests.strategies import EPOCH

cents = st.integers(0, 10**9)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.decimals(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(cents)
def test_money_survives_each_way_of_writing_it(amount):
    """Text with a dollar sign, with thousands parted, bare, and a number are one price."""
    exact = Decimal(amount) / 100
    price = Price.from_cents(amount)

    for told in (f"${exact:.2f}", f"${exact:,.2f}", f"{exact}", exact, f" $ {exact} "):
        assert price == dollars(told)
    assert price == dollars(float(exact)) or amount > 10**13


@given(st.integers(0, 10**15).map(Price))
def test_a_limit_is_never_sent_higher_than_allowed(price):
    """What is sent is a dollar sign and two decimals, at most the limit and less than a cent under it."""
    sent = written(price)

    assert sent == f"${Decimal(sent[1:]):.2f}"
    assert 0 <= price.micros - dollars(sent).micros < 10_000


@pytest.mark.parametrize(
    "told", ["", "$", "free", None, True, [], {}, "NaN", "Infinity", "1e999999999", "$-1"]
)
def test_what_is_no_price_is_refused(told):
    """Neither words nor less than nothing is a price."""
    with pytest.raises(ValueError, match=r"is no money|less than nothing"):
        dollars(told)


def test_a_credit_may_be_less_than_nothing():
    """An amount, other than a price, may be negative."""
    assert -1_500_000 == spend("-$1.50").micros


@given(
    st.integers(0, 7 * 10**15).map(lambda micros: EPOCH + timedelta(microseconds=micros)),
    st.integers(-14 * 60, 14 * 60),
)
def test_times_are_one_moment_however_written(exact, minutes):
    """Z, +00:00, no zone and another zone's time are the same moment, in UTC."""
    at = exact.replace(tzinfo=None)
    elsewhere = exact.astimezone(timezone(timedelta(minutes=minutes)))

    for told in (at.isoformat() + "Z", exact.isoformat(), at.isoformat(), elsewhere.isoformat()):
        assert exact == when(told)
        assert timezone.utc is when(told).tzinfo
    assert exact == when(instant(exact))


@pytest.mark.parametrize("fraction, micros", [(".1", 100_000), (".123456789", 123_456)])
def test_fractions_of_a_second_have_any_length(fraction, micros):
    """Python 3.10 wants three or six digits; servers don't."""
    assert micros == when(f"2026-03-01T10:00:00{fraction}Z").microsecond


@given(plain)
def test_nothing_told_crashes_a_reader(told):
    """A value is read or raises ValueError, and a body is read or is Unreadable, whatever it is."""
    for read in (when, dollars, spend, whole):
        with suppress(ValueError):
            read(told)
    for kind in (wire.Bid, wire.Instance, wire.PriceHistories, wire.Volume):
        with suppress(wire.Unreadable):
            wire.read(kind, told)


@given(st.dictionaries(st.text(), plain, max_size=3))
def test_unknown_fields_are_passed_over(extra):
    """Fields that nobody told us of change nothing."""
    known = body("bid")

    assert wire.read(wire.Bid, known) == wire.read(wire.Bid, {**extra, **known})


def test_null_and_absent_are_the_same():
    """An optional field may be left out or null."""
    told = body("bid")
    nulls = {**told, "region": None, "instances": None, "created_by": None}
    absent = {
        key: value
        for key, value in told.items()
        if key not in ("region", "instances", "created_by", "deactivated_at")
    }

    assert wire.read(wire.Bid, nulls) == wire.read(wire.Bid, absent)


@pytest.mark.parametrize("field", ["fid", "name", "status", "created_at", "limit_price"])
def test_a_bid_without_what_makes_it_one_is_unreadable(field):
    """A body that lacks an id, a name, a state, an age or a limit is no bid."""
    told = body("bid")
    del told[field]

    with pytest.raises(wire.Unreadable, match=field):
        wire.read(wire.Bid, told)


@pytest.mark.parametrize(
    "name, gpus, gpu, memory, shape",
    [
        ("h100-80gb.sxm.8x", 8, "H100", 80, InstanceShape("h100", 8, 80)),
        ("h100-80gb.sxm.8x", None, None, None, InstanceShape("h100", 8, 80)),
        ("h100.80gb.sxm", 8, "H100", 80, InstanceShape("h100", 8, 80)),
        ("h100.80gb.sxm", 8, None, None, InstanceShape("h100", 8, 80)),
        ("neb-b200.sxm.8x", 8, "B200", 192, InstanceShape("b200", 8, 192)),
        ("b200-192gb.8x", 8, "NVIDIA B200", 192, InstanceShape("b200", 8, 192)),
        ("a100-80gb.sxm.1x", None, None, None, InstanceShape("a100", 1, 80)),
        ("v6e-4", 4, "v6e", 32, InstanceShape("v6e", 4, 32)),
        ("v6e-4", None, None, None, InstanceShape("v6e", 4)),
        ("mi300x-192gb.8x", 8, "MI300X", 192, InstanceShape("mi300x", 8, 192)),
        ("cpu-16", 0, "", 0, InstanceShape("cpu", 0)),
        ("c.large", 0, None, None, InstanceShape("cpu", 0)),
        ("", None, None, None, InstanceShape("it_x1", 1)),
    ],
)
def test_shapes_are_told_from_fields_and_names(name, gpus, gpu, memory, shape):
    """Fields outrank the name, the name fills in, and a family nobody knows keeps its own."""
    kind = wire.InstanceType(
        fid="it_X1", name=name, num_gpus=gpus, gpu_type=gpu, gpu_memory_gb=memory
    )

    assert shape == shape_of(kind)


@given(st.text(), st.text(), st.none() | st.integers(-5, 10**6), st.none() | st.integers(0, 10**4))
def test_any_type_has_a_shape(name, gpu, gpus, memory):
    """No name makes a listing crash."""
    kind = wire.InstanceType(
        fid="it_x", name=name, num_gpus=gpus, gpu_type=gpu, gpu_memory_gb=memory
    )

    assert shape_of(kind).gpus >= 0
