"""Placement: the cheapest plan that fits, the same twice, with a reason for all that was not taken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_core.domain.bid import Quote
from flow_core.domain.money import Price
from flow_core.domain.placement import DEFAULT_LIMIT_FACTOR, Plan, choose
from flow_core.domain.shape import InstanceShape
from flow_core.domain.task import TaskSpec
from flow_core.domain.task_parts import Recover
from flow_core.errors import FlowError, NoCapacity, PriceTooLow
from tests import strategies
from tests.strategies import EPOCH

H100, A100, CPU = (
    InstanceShape("h100", 8, 80),
    InstanceShape("a100", 8, 40),
    InstanceShape("cpu", 0),
)
limits = st.none() | st.integers(1, 60).map(lambda dollars: Price(dollars * 1_000_000))
specs = st.builds(
    TaskSpec,
    command=st.just("true"),
    instance_type=st.sampled_from(
        [None, H100, A100, CPU, InstanceShape("a100", 8), InstanceShape("h100", 4)]
    ),
    num_instances=st.integers(1, 6),
    max_price=limits,
    region=st.sampled_from([None, None, "east", "west"]),
)
markets = st.lists(
    strategies.quotes, max_size=6, unique_by=lambda each: (each.type_id, each.region)
)


@st.composite
def served(draw: st.DrawFn) -> tuple[TaskSpec, list[Quote], Price | None]:
    """A task, a market with something that fits it, dear though it is, and a ceiling."""
    task, market, ceiling = draw(specs), draw(markets), draw(limits)
    fitting = quote(
        draw(st.sampled_from([2, 20, 50])),
        type_id="t4",
        shape=task.instance_type or H100,
        region=task.region or "east",
    )
    return task, draw(st.permutations([*market, fitting])), ceiling


def dollars(amount: int) -> Price:
    """That many dollars."""
    return Price(amount * 1_000_000)


def quote(price: int, **changes: object) -> Quote:
    """A quote for 8 H100 in the east."""
    values = {
        "type_id": "t",
        "shape": H100,
        "region": "east",
        "floor": dollars(1),
        "as_of": EPOCH,
        **changes,
    }
    return Quote(price=dollars(price), **values)  # type: ignore[arg-type]


def spec(**changes: object) -> TaskSpec:
    """A task for 8 H100."""
    return TaskSpec(command="true", **{"instance_type": H100, **changes})  # type: ignore[arg-type]


def fits(task: TaskSpec, each: Quote) -> bool:
    """Whether a quote can serve a task at some price, said the obvious way."""
    return (
        (
            each.shape.gpus > 0
            if task.instance_type is None
            else task.instance_type.matches(each.shape)
        )
        and task.region in (None, each.region)
        and (each.capacity is None or each.capacity >= task.num_instances)
    )


SMALL = [quote(5, capacity=4), quote(6, capacity=8, region="west")]


def chosen(task: TaskSpec, market: list[Quote], ceiling: Price | None) -> Plan | type[FlowError]:
    """The plan, or what kind of error there is instead."""
    try:
        return choose(task, market, ceiling=ceiling)
    except FlowError as error:
        return type(error)


@given(specs, markets, limits, st.randoms(use_true_random=False))
def test_the_cheapest_that_fits_is_chosen(task, market, ceiling, chance):
    """No quote that fits, and whose floor the limit reaches, is cheaper than the chosen one; else there is an error.

    The order in which quotes come makes no difference to what is chosen, nor to the kind of error.
    """
    most = task.max_price or ceiling
    fitting = [each for each in market if fits(task, each)]
    affordable = [each for each in fitting if most is None or most >= each.floor]
    plan = chosen(task, market, ceiling)
    if isinstance(plan, Plan):
        assert plan.quote in affordable
        assert plan.quote.price == min(each.price for each in affordable)
        assert plan.spec is task
    else:
        assert not affordable
        assert plan is (PriceTooLow if fitting else NoCapacity)
    shuffled = list(market)
    chance.shuffle(shuffled)

    assert plan == chosen(task, shuffled, ceiling)


@given(served())
def test_a_limit_is_within_its_bounds(asked):
    """A limit of the user's is kept; another is at least the floor and never above the ceiling.

    Each quote is the chosen one or was rejected, once, in so many words.
    """
    task, market, ceiling = asked
    plan = choose(task, market, ceiling=ceiling)

    assert plan.limit >= plan.quote.floor
    assert plan.limit_why
    assert plan.total_limit == plan.limit * task.num_instances
    assert plan.wins_now == (plan.limit > plan.quote.price)
    most = task.max_price or ceiling
    if task.max_price is not None and task.recovery.how is not Recover.RAISE:
        assert task.max_price == plan.limit
    else:
        wanted = max(plan.quote.price.scaled(DEFAULT_LIMIT_FACTOR), plan.quote.floor)
        assert plan.limit == (wanted if most is None else min(wanted, most))
    told = [plan.quote, *(each.quote for each in plan.rejected)]

    assert len(market) == len(told)
    assert all(each in told for each in market)
    assert all(each.why for each in plan.rejected)


def test_equal_prices_go_to_the_freer():
    """Of equally cheap ones the one with more free instances is taken, then the first by name."""
    market = [
        quote(5, region="east", available=1),
        quote(5, region="west", available=4),
        quote(5, region="north", available=4),
    ]

    assert "north" == choose(spec(), market).quote.region
    assert "more free" in choose(spec(), market).rejected[0].why


def test_without_a_shape_the_cheapest_gpu_is_taken():
    """A task that names no instance type never gets one without a GPU."""
    market = [quote(1, shape=CPU, type_id="c"), quote(9), quote(5, shape=A100, type_id="a")]

    assert A100 == choose(TaskSpec(command="true"), market).quote.shape
    assert CPU == choose(spec(instance_type=CPU), market).quote.shape


def test_limits_explain_themselves():
    """A limit is the user's, a multiple of the price, the floor, or the ceiling, and says which."""
    assert "as asked for" == choose(spec(max_price=dollars(7)), [quote(5)]).limit_why
    assert "1.5 × the current price of $4.00" == choose(spec(), [quote(4)]).limit_why
    assert "the market's floor" == choose(spec(), [quote(4, floor=dollars(8))]).limit_why
    plan = choose(spec(), [quote(4)], ceiling=dollars(5))
    assert dollars(5) == plan.limit
    assert "ceiling" in plan.limit_why
    assert dollars(99) == choose(spec(max_price=dollars(99)), [quote(4)], ceiling=dollars(5)).limit


def test_a_limit_under_every_floor_says_the_least():
    """The message names the least that is accepted anywhere, and the hint says what to bid, whatever the ceiling."""
    market = [quote(9, floor=dollars(6)), quote(8, floor=dollars(7), region="west")]
    for ceiling in (None, dollars(3), dollars(50)):
        with pytest.raises(PriceTooLow, match=r"\$2.00/hr is under .* east .* \$6.00/hr") as caught:
            choose(spec(max_price=dollars(2)), market, ceiling=ceiling)

        assert "$6.00" in caught.value.hint


def test_a_ceiling_under_every_floor_says_so():
    """Where the ceiling can't be bid anywhere, the message names it and the hint how to raise it."""
    with pytest.raises(PriceTooLow, match=r"ceiling of \$2.00/hr") as caught:
        choose(spec(), [quote(9, floor=dollars(6))], ceiling=dollars(2))

    assert "flow config set max_price_per_hour" in caught.value.hint


def test_a_floor_above_the_ceiling_is_passed_by():
    """A dearer market that the ceiling can be bid in is taken before a cheaper one that it can't."""
    market = [quote(5, floor=dollars(5)), quote(6, region="west")]
    plan = choose(spec(), market, ceiling=dollars(3))

    assert ("west", dollars(3)) == (plan.quote.region, plan.limit)
    assert "floor" in plan.rejected[0].why


ONE_AND_EIGHT = [quote(1, shape=InstanceShape("h100", 1)), quote(5)]


@pytest.mark.parametrize(
    ("task", "market", "words"),
    [
        (spec(), [], "nothing is on offer at all"),
        (spec(instance_type=InstanceShape("b200", 8)), [quote(5)], "no region offers that type"),
        (spec(num_instances=9), SMALL, "8xh100 in east, has 4 instances in all, not 9"),
        (spec(region="north"), [quote(5)], "lies in east, not north"),
        (spec(instance_type=InstanceShape("h100", 4)), [quote(5)], "the nearest is 8xh100 in east"),
        (spec(instance_type=InstanceShape("h100", 9)), ONE_AND_EIGHT, "the nearest is 8xh100 in east"),
        (TaskSpec(command="true"), [quote(5, shape=CPU)], "has no GPU"),
    ],
)  # fmt: skip
def test_what_no_region_has_names_the_nearest_miss(task, market, words):
    """The message says what was asked for and what came closest, or that nothing did."""
    with pytest.raises(NoCapacity) as caught:
        choose(task, market)

    assert words in caught.value.message
    assert caught.value.hint
