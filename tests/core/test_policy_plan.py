"""A policy's limit in a plan: capped by the task's own maximum, explained, and never under the floor."""

from __future__ import annotations

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from flow_core.domain.bid import Quote
from flow_core.domain.money import Price, Spend
from flow_core.domain.placement import Plan, choose
from flow_core.domain.policy import Outlook
from flow_core.domain.policy_form import parse_policy
from flow_core.domain.policy_plan import under_policy
from flow_core.domain.shape import InstanceShape
from flow_core.domain.task import TaskSpec
from flow_core.errors import InvalidRequest, PriceTooLow
from tests.strategies import EPOCH

H100 = InstanceShape("h100", 8, 80)
QUOTE = Quote(
    type_id="t", shape=H100, region="east", price=Price.parse(8), floor=Price.parse(2), as_of=EPOCH
)
NOW = Outlook(now=EPOCH, price=QUOTE.price)


def plan(policy: str | None, **asked: object) -> Plan:
    """The plan of a task on 8 H100, before its policy is heard."""
    spec = TaskSpec(
        command="true",
        instance_type=H100,
        bid_policy=None if policy is None else parse_policy(policy),
        **asked,  # type: ignore[arg-type]
    )
    return choose(spec, [QUOTE])


def test_without_a_policy_a_plan_stays_as_it_is():
    """The default is what it was: 1.5 times the price."""
    assert plan(None) == under_policy(plan(None), NOW)


def test_a_policy_gives_the_limit_and_its_reason():
    """The plan holds the limit, how it came about, and what was looked at."""
    told = under_policy(plan("2x"), NOW)

    assert Price.parse(16) == told.limit
    assert "2x: 2 × the current price of $8.00" == told.limit_why
    assert told.policy is not None
    assert ["price now"] == [each.name for each in told.policy.inputs]


@given(st.integers(2, 30), st.sampled_from(["1x", "2x", "5", "budget:40@4h"]), st.booleans())
def test_the_maximum_caps_every_policy(cap, policy, is_tasks_own):
    """Neither the task's own maximum nor the configured ceiling is ever passed; the task's own counts first."""
    cap = Price.parse(cap)
    if is_tasks_own:
        told = under_policy(plan(policy, max_price=cap), NOW, ceiling=Price.parse(100))
    else:
        told = under_policy(plan(policy), NOW, ceiling=cap)
    assert told.policy is not None

    assert min(cap, told.policy.limit) == told.limit


def test_a_cap_that_bites_is_told():
    """The reason names whose cap it is, and what the policy would have bid."""
    told = under_policy(plan("2x", max_price=Price.parse(10)), NOW)

    assert told.limit_why.startswith("the task's maximum; 2x would be $16.00")


def test_a_budget_is_also_the_most_that_the_task_may_cost():
    """The task gets the budget as max_spend, or keeps a lower one."""
    free = under_policy(plan("budget:40@4h"), NOW)
    bound = under_policy(plan("budget:40@4h", max_spend=Spend.parse(30)), NOW)

    assert (Spend.parse(40), Spend.parse(30)) == (free.spec.max_spend, bound.spec.max_spend)


def test_a_limit_under_the_floor_is_refused():
    """What the market wouldn't take is said, with the sum that led to it."""
    with pytest.raises(PriceTooLow, match=r"\$0.12/hr .*\$1.00 / 8h.*\$2.00/hr"):
        under_policy(plan("budget:1@8h"), NOW)


def test_a_reservation_has_no_policy():
    """What is paid already has no bid to choose for."""
    with pytest.raises(InvalidRequest, match="policy"):
        TaskSpec(command="true", reservation="nightly", bid_policy=parse_policy("2x"))


def test_more_instances_share_a_budget():
    """Twice the instances, half the limit."""
    one = under_policy(plan("budget:40@4h"), NOW).limit
    two = under_policy(plan("budget:40@4h", num_instances=2), evolve(NOW, instances=2)).limit

    assert one == two * 2
