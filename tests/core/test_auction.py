"""The clearing agrees with the documented examples and with a slow, obvious version of itself."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow_core.domain.auction import (
    Clearing,
    Contest,
    Order,
    capped_at_lowest_winner,
    clear,
    highest_outbid,
)
from flow_core.domain.money import Price


def order(name: str, dollars: int | str, quantity: int = 1, placed: int = 0) -> Order:
    """Make an order by its limit in dollars."""
    return Order(name, Price.parse(dollars), quantity, placed)


def slow_clear(orders: Sequence[Order], *, capacity: int, reserve: Price) -> Clearing:
    """Clear by the contract's sentence, word for word and with no thought for speed."""
    ranked = sorted(orders, key=lambda each: (-each.limit.micros, each.placed, each.id))
    winners: list[Order] = []
    losers: list[Order] = []
    free = capacity
    for each in ranked:
        if each.limit >= reserve and each.quantity <= free:
            winners.append(each)
            free -= each.quantity
        else:
            losers.append(each)
    if winners:
        lowest = min(each.limit for each in winners)
        price = max([reserve, *(each.limit for each in losers if each.limit <= lowest)])
    else:
        lowest = None
        price = reserve
        if capacity == 0:
            price = max([reserve, *(each.limit for each in losers)])
    return Clearing(
        winners=frozenset(each.id for each in winners),
        price=price,
        lowest_allocated=lowest,
        free=free,
    )


@st.composite
def markets(draw: st.DrawFn) -> list[Order]:
    """Draw orders whose limits, quantities and times often coincide."""
    rows = st.tuples(st.integers(0, 8), st.integers(1, 6), st.integers(0, 3))
    return [
        order(f"bid-{number}", limit, quantity, placed)
        for number, (limit, quantity, placed) in enumerate(draw(st.lists(rows, max_size=25)))
    ]


# Rare coincidences matter here, and an example takes a fraction of a millisecond.
thorough = settings(max_examples=1_000)
capacities = st.integers(0, 20)
reserves = st.builds(Price.parse, st.integers(0, 6))

DOCUMENTED = [
    order("A", 23, placed=1),
    order("B", 21, placed=2),
    order("C", 16, placed=3),
    order("D", 13, placed=4),
    order("E", 12, placed=5),
    order("F", 8, placed=6),
]


def test_first_documented_example() -> None:
    """Three of six win, and pay the best losing limit. Source: contract, section 3, vector 1."""
    actual = clear(DOCUMENTED, capacity=3, reserve=Price.ZERO)

    assert {"A", "B", "C"} == actual.winners
    assert Price.parse("13.00") == actual.price
    assert Price.parse("16.00") == actual.lowest_allocated
    assert 0 == actual.free


def test_second_documented_example() -> None:
    """A bid above the price and below the winners loses and raises the price. Source: vector 2."""
    orders = [*DOCUMENTED, order("X", "13.01", placed=7)]

    actual = clear(orders, capacity=3, reserve=Price.ZERO)

    assert {"A", "B", "C"} == actual.winners
    assert Price.parse("13.01") == actual.price


@thorough
@given(markets(), capacities, reserves)
def test_fast_clearing_agrees_with_the_obvious_one(
    orders: list[Order], capacity: int, reserve: Price
) -> None:
    """Winners, price, lowest winner and what stays free are those of the slow version."""
    actual = clear(orders, capacity=capacity, reserve=reserve)

    assert slow_clear(orders, capacity=capacity, reserve=reserve) == actual


@given(markets(), capacities, reserves, st.sampled_from([highest_outbid, capped_at_lowest_winner]))
def test_nobody_is_wronged_under_any_rule(
    orders: list[Order], capacity: int, reserve: Price, rule: object
) -> None:
    """No more than the capacity is given, nobody pays above their limit or less than the reserve."""
    actual = clear(orders, capacity=capacity, reserve=reserve, price_rule=rule)  # type: ignore[arg-type]
    won = [each for each in orders if each.id in actual.winners]

    assert capacity - actual.free == sum(each.quantity for each in won) <= capacity
    assert reserve <= actual.price
    assert all(actual.price <= each.limit for each in won)
    assert min((each.limit for each in won), default=None) == actual.lowest_allocated


@given(markets(), capacities, reserves)
def test_equal_limits_are_served_first_come_first_served(
    orders: list[Order], capacity: int, reserve: Price
) -> None:
    """A later order never wins while an earlier, equal and no larger one loses."""
    winners = clear(orders, capacity=capacity, reserve=reserve).winners

    assert not [
        (earlier, later)
        for earlier in orders
        for later in orders
        if earlier.limit == later.limit
        and (earlier.placed, earlier.id) < (later.placed, later.id)
        and earlier.quantity <= later.quantity
        and later.id in winners
        and earlier.id not in winners
    ]


@given(markets(), capacities, reserves, st.integers(0, 8), st.integers(1, 6))
def test_lower_order_never_changes_who_won(
    orders: list[Order], capacity: int, reserve: Price, limit: int, quantity: int
) -> None:
    """An order below every other takes nothing from anybody, and can only raise the price."""
    before = clear(orders, capacity=capacity, reserve=reserve)
    lowest = min((each.limit.micros for each in orders), default=10**6)
    late = Order("late", Price(min(limit * 10**6, max(lowest - 1, 0))), quantity, 9)

    after = clear([*orders, late], capacity=capacity, reserve=reserve)

    assert before.winners == after.winners - {"late"}
    if "late" not in after.winners:
        assert before.price <= after.price


@given(markets(), capacities, reserves, st.randoms(use_true_random=False))
def test_order_of_the_list_does_not_matter(
    orders: list[Order], capacity: int, reserve: Price, rng: object
) -> None:
    """Any permutation of the same orders clears alike."""
    shuffled = list(orders)
    rng.shuffle(shuffled)  # type: ignore[attr-defined]

    actual = clear(shuffled, capacity=capacity, reserve=reserve)

    assert clear(orders, capacity=capacity, reserve=reserve) == actual


def test_order_that_does_not_fit_is_skipped() -> None:
    """A big order gets nothing rather than a part, and a lower one that fits wins."""
    orders = [order("one", 9), order("big", 8, quantity=4), order("small", 5, quantity=2)]

    actual = clear(orders, capacity=4, reserve=Price.parse(1))

    assert {"one", "small"} == actual.winners
    assert 1 == actual.free


def test_best_of_several_outbid_orders_sets_the_price() -> None:
    """With something left free that fits nobody, the highest loser counts, not the last."""
    orders = [order("A", 9), order("B", 8, quantity=5), order("C", 7, quantity=5)]

    actual = clear(orders, capacity=3, reserve=Price.parse(1))

    assert {"A"} == actual.winners
    assert "$8.00" == str(actual.price)


@pytest.mark.parametrize(
    ("rule", "expected"), [(highest_outbid, "$3.00"), (capped_at_lowest_winner, "$5.00")]
)
def test_price_after_a_skipped_order_is_a_matter_of_rule(rule: object, expected: str) -> None:
    """Ours ignores the skipped order at 8 and takes the outbid one at 3; the other caps at the lowest winner."""
    orders = [order("big", 8, quantity=4), order("small", 5, quantity=3), order("low", 3)]

    actual = clear(orders, capacity=3, reserve=Price.parse(1), price_rule=rule)  # type: ignore[arg-type]

    assert {"small"} == actual.winners
    assert expected == str(actual.price)


def test_rule_is_told_the_contest() -> None:
    """A price rule learns the lowest winner, the best outbid limit and the best skipped one."""
    told: list[Contest] = []

    def watch(contest: Contest) -> Price:
        told.append(contest)
        return Price.parse(99)

    orders = [order("big", 8, quantity=4), order("small", 5, quantity=3), order("low", 3)]
    actual = clear(orders, capacity=3, reserve=Price.parse(1), price_rule=watch)

    expected = Contest(lowest_winner=Price.parse(5), outbid=Price.parse(3), skipped=Price.parse(8))
    assert [expected] == told
    assert Price.parse(5) == actual.price  # whatever the rule says, nobody pays above their limit


def test_raising_above_a_skipped_order_costs_its_limit() -> None:
    """What we don't like, as auction.py tells it: the higher of two winning limits pays more."""
    big = order("big", 8, quantity=4)

    modest = clear([big, order("mine", 5)], capacity=1, reserve=Price.parse(1))
    eager = clear([big, order("mine", 9)], capacity=1, reserve=Price.parse(1))

    assert (frozenset({"mine"}),) * 2 == (modest.winners, eager.winners)
    assert ("$1.00", "$8.00") == (str(modest.price), str(eager.price))


def test_uncontested_market_clears_at_the_reserve() -> None:
    """Where everybody wins, nobody was outbid."""
    actual = clear([order("A", 9), order("B", 7)], capacity=3, reserve=Price.parse(2))

    assert {"A", "B"} == actual.winners
    assert Price.parse(2) == actual.price


def test_order_at_the_reserve_wins_and_one_below_does_not() -> None:
    """The reserve itself is enough; a micro-dollar less takes no part."""
    reserve = Price.parse(2)
    orders = [Order("at", reserve, 1, 0), Order("below", Price(reserve.micros - 1), 1, 0)]

    actual = clear(orders, capacity=5, reserve=reserve)

    assert {"at"} == actual.winners
    assert reserve == actual.price


@pytest.mark.parametrize(
    ("orders", "capacity", "expected"),
    [
        ([], 4, "$2.00"),
        ([], 0, "$2.00"),
        ([order("big", 9, quantity=5)], 4, "$2.00"),
        ([order("A", 9), order("B", 7)], 0, "$9.00"),
        ([order("cheap", 1)], 0, "$2.00"),
    ],
)
def test_price_with_no_winner_is_what_a_newcomer_meets(
    orders: list[Order], capacity: int, expected: str
) -> None:
    """The reserve while something is free for who fits; the best waiting limit when nothing is."""
    actual = clear(orders, capacity=capacity, reserve=Price.parse(2))

    assert frozenset() == actual.winners
    assert actual.lowest_allocated is None
    assert expected == str(actual.price)


@pytest.mark.parametrize(("quantity", "capacity"), [(0, 4), (-1, 4), (1, -1)])
def test_impossible_quantities_are_refused(quantity: int, capacity: int) -> None:
    """A market that can't be is an error of its keeper, not cleared somehow."""
    with pytest.raises(ValueError, match="can't be cleared"):
        clear([order("A", 9, quantity=quantity)], capacity=capacity, reserve=Price.ZERO)


def test_hundred_thousand_orders_agree_with_the_obvious_version() -> None:
    """Size changes nothing: 100,000 orders at 500 limits clear as the slow version says."""
    orders = [
        Order(
            f"bid-{number}",
            Price.from_cents(100 + number * 7_919 % 500),
            1 + number % 9,
            number % 1_013,
        )
        for number in range(100_000)
    ]
    reserve = Price.from_cents(150)

    actual = clear(orders, capacity=200_000, reserve=reserve)

    assert slow_clear(orders, capacity=200_000, reserve=reserve) == actual


def test_each_order_is_read_a_fixed_number_of_times() -> None:
    """Clearing reads each order's limit and quantity a few times, however many orders there are."""
    reads = 0

    @attrs.frozen
    class Counted(Order):
        def __getattribute__(self, name: str) -> object:
            nonlocal reads
            reads += 1
            return super().__getattribute__(name)

    def reads_for(size: int) -> int:
        nonlocal reads
        orders = [Counted(str(n), Price.from_cents(n % 97), 1 + n % 5, n) for n in range(size)]
        reads = 0
        clear(orders, capacity=size, reserve=Price.ZERO)
        return reads

    assert reads_for(1_000) <= 10 * 1_000
    assert reads_for(10_000) <= 10 * 10_000
