"""Money is exact; where it is rounded, it is rounded half up and once."""

from __future__ import annotations

import decimal
from datetime import timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_core.domain.money import Price, Spend
from flow_core.errors import InvalidRequest

prices = st.builds(Price, st.integers(0, 10**15))
spends = st.builds(Spend, st.integers(-(10**15), 10**15))


@pytest.mark.parametrize(
    ("value", "expected_micros"),
    [
        ("$12.29", 12_290_000),
        ("12.29", 12_290_000),
        (" $ 12.29 ", 12_290_000),
        ("1,234.5", 1_234_500_000),
        ("$1,234,567", 1_234_567_000_000),
        (".5", 500_000),
        ("0.000001", 1),
        ("1.1000000", 1_100_000),
        (12, 12_000_000),
        (12.29, 12_290_000),
        (1.1 * 3, 3_300_000),
        (Decimal("12.29"), 12_290_000),
        (Decimal("1E+2"), 100_000_000),
        (0, 0),
        ("-0", 0),
    ],
)
def test_amounts_as_people_write_them_are_read(
    value: str | int | float | Decimal, expected_micros: int
) -> None:
    """Dollars with or without sign, commas or decimals become whole micro-dollars."""
    actual = Price.parse(value)

    assert Price(expected_micros) == actual


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("cheap", "'cheap' is not an amount of money; write it like '12.29' or '$12.29'"),
        ("", "'' is not an amount of money; write it like '12.29' or '$12.29'"),
        ("$", "'$' is not an amount of money; write it like '12.29' or '$12.29'"),
        ("12,29", "'12,29' is not an amount of money; write it like '12.29' or '$12.29'"),
        ("1e3", "'1e3' is not an amount of money; write it like '12.29' or '$12.29'"),
        ("1_000", "'1_000' is not an amount of money; write it like '12.29' or '$12.29'"),
        ("NaN", "'NaN' is not an amount of money; write it like '12.29' or '$12.29'"),
        (float("nan"), "nan is not an amount of money; write it like '12.29' or '$12.29'"),
        (float("inf"), "inf is not an amount of money; write it like '12.29' or '$12.29'"),
        (
            Decimal("sNaN"),
            "Decimal('sNaN') is not an amount of money; write it like '12.29' or '$12.29'",
        ),
        (True, "True is not an amount of money; write it like '12.29' or '$12.29'"),
        ("--5", "'--5' is not an amount of money; write it like '12.29' or '$12.29'"),
        ("-$5", "'-$5' is negative; the least amount is $0"),
        ("$-5", "'$-5' is negative; the least amount is $0"),
        (-0.01, "-0.01 is negative; the least amount is $0"),
        (
            "1.1234567",
            "'1.1234567' is finer than a millionth of a dollar; keep 6 decimals at most",
        ),
        (1e-7, "1e-07 is finer than a millionth of a dollar; keep 6 decimals at most"),
        (
            Decimal("1E-999999"),
            "Decimal('1E-999999') is finer than a millionth of a dollar; keep 6 decimals at most",
        ),
        ("1000000001", "'1000000001' is more than a billion dollars; was another unit meant?"),
        pytest.param(
            10**5_000,
            "that number is more than a billion dollars; was another unit meant?",
            id="huge",
        ),
        (
            Decimal("1E+999999"),
            "Decimal('1E+999999') is more than a billion dollars; was another unit meant?",
        ),
    ],
)
def test_what_is_not_money_is_refused(value: str | int | float | Decimal, expected: str) -> None:
    """Each refusal names the value, what is so, and where possible what to write."""
    with pytest.raises(InvalidRequest) as caught:
        Price.parse(value)

    assert {"max_price_per_hour": expected} == caught.value.problems


def test_refused_spend_names_its_own_field() -> None:
    """A ceiling is reported as a ceiling, and any field by the name the caller gives."""
    with pytest.raises(InvalidRequest) as ceiling:
        Spend.parse("much")
    with pytest.raises(InvalidRequest) as named:
        Price.parse("much", field="max_price_per_gpu_hour")

    assert ["max_spend"] == list(ceiling.value.problems)
    assert ["max_price_per_gpu_hour"] == list(named.value.problems)


@pytest.mark.parametrize(
    ("micros", "expected"),
    [
        (0, "$0.00"),
        (12_290_000, "$12.29"),
        (12_000_000, "$12.00"),
        (12_290_100, "$12.2901"),
        (1, "$0.000001"),
        (1_966_400_000, "$1,966.40"),
    ],
)
def test_price_is_written_exactly(micros: int, expected: str) -> None:
    """A price has two decimals at least, and more only when they say something."""
    actual = str(Price(micros))

    assert expected == actual


@pytest.mark.parametrize(
    ("micros", "expected"),
    [
        (0, "$0.00"),
        (420_000, "$0.42"),
        (425_000, "$0.43"),
        (10_000, "$0.01"),
        (9_999, "$0.01"),
        (3_249, "$0.0032"),
        (3_000, "$0.0030"),
        (995, "$0.0010"),
        (7, "$0.000007"),
        (1_234_567_890, "$1,234.57"),
        (-420_000, "-$0.42"),
    ],
)
def test_spend_is_written_for_reading(micros: int, expected: str) -> None:
    """An amount shows whole cents, and below one cent two digits as far as a millionth goes."""
    actual = str(Spend(micros))

    assert expected == actual


@given(prices)
def test_written_price_reads_the_same(price: Price) -> None:
    """No price is changed by writing and reading it."""
    actual = Price.parse(str(price))

    assert price == actual


@given(st.integers(0, 10**10))
def test_floats_of_whole_millionths_read_exactly(micros: int) -> None:
    """A float that came from at most six decimals is read as these decimals."""
    actual = Price.parse(micros / 1_000_000)

    assert Price(micros) == actual


@given(st.text(max_size=12) | st.text("0123456789.,$-", max_size=12))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text makes the parser fail in another way than by its own refusal."""
    try:
        price = Price.parse(text)
    except InvalidRequest:
        return

    assert Price.ZERO <= price


@given(prices, st.timedeltas(timedelta(0), timedelta(days=3650)))
def test_cost_of_time_is_exact_and_rounded_once(price: Price, held: timedelta) -> None:
    """Cost is the exact product with hours, off by at most half a micro-dollar, a half upwards."""
    exact = Fraction(price.micros * (held // timedelta(microseconds=1)), 3_600_000_000)

    actual = price.over(held)

    assert Fraction(-1, 2) < actual.micros - exact <= Fraction(1, 2)


def test_half_an_hour_costs_half() -> None:
    """$12.29 for thirty minutes is $6.145, which reads as $6.15."""
    actual = Price.parse("12.29").over(timedelta(minutes=30))

    assert Spend.parse("6.145") == actual
    assert "$6.15" == str(actual)


def test_time_that_has_not_begun_costs_nothing() -> None:
    """A clock that is behind the provider's yields no negative cost."""
    actual = Price.parse("12.29").over(timedelta(seconds=-5))

    assert Spend.ZERO == actual


@given(prices, st.decimals("0", "100", places=3))
def test_scaled_price_is_a_whole_cent_rounded_half_up(price: Price, factor: Decimal) -> None:
    """Scaling agrees with decimal arithmetic that keeps every digit."""
    with decimal.localcontext() as context:
        context.prec = 60
        exact = Decimal(price.micros) * factor / 10_000
        expected = int(exact.quantize(Decimal(1), ROUND_HALF_UP))

    actual = price.scaled(factor)

    assert Price.from_cents(expected) == actual


@pytest.mark.parametrize(
    ("price", "gpus", "expected"),
    [
        ("98.32", 8, "$12.29"),
        ("98.33", 8, "$12.29"),
        ("10", 3, "$3.33"),
        ("0.05", 8, "$0.0063"),
        ("2.25", 1, "$2.25"),
        ("2.25", 0, "$2.25"),
    ],
)
def test_share_of_one_gpu_is_readable(price: str, gpus: int, expected: str) -> None:
    """98.32 on eight GPUs reads $12.29; without GPUs the instance's price stands."""
    actual = str(Price.parse(price).per(gpus))

    assert expected == actual


@given(prices, st.integers(0, 1_000))
def test_price_of_many_is_the_sum(price: Price, count: int) -> None:
    """Multiplying from either side adds the price up without rounding."""
    actual = (price * count, count * price)

    assert (Price(price.micros * count),) * 2 == actual


@given(st.integers(0, 10**11))
def test_cents_survive_the_way_out_and_back(cents: int) -> None:
    """Whole cents become a price and the same cents again."""
    actual = Price.from_cents(cents).to_cents()

    assert cents == actual


@given(prices)
def test_limit_in_cents_never_passes_the_limit(price: Price) -> None:
    """Rounding to cents goes down, by less than a cent."""
    lost = price.micros - Price.from_cents(price.to_cents()).micros

    assert 0 <= lost < 10_000


@given(st.lists(spends))
def test_amounts_add_up_exactly(amounts: list[Spend]) -> None:
    """A sum of amounts is the amount of the sums, in any grouping."""
    actual = sum(amounts, Spend.ZERO)

    assert Spend(sum(amount.micros for amount in amounts)) == actual


@given(prices, prices)
def test_prices_are_ordered_as_their_amounts(one: Price, other: Price) -> None:
    """Comparing prices compares what they cost."""
    assert (one.micros < other.micros) == (one < other)
    assert (one.micros == other.micros) == (one == other)


@pytest.mark.parametrize("micros", [-1, 12.29, None])
def test_price_of_other_than_whole_micros_can_not_be_made(micros: object) -> None:
    """A price is never negative or a float, also when no text was parsed."""
    with pytest.raises((TypeError, ValueError), match="micros"):
        Price(micros)  # type: ignore[arg-type]
