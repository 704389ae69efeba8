"""A plan whose limit a bid policy chooses: after the market was chosen, before the bid."""

from __future__ import annotations

from attrs import evolve

from flow_core.domain.money import Price
from flow_core.domain.placement import Plan
from flow_core.domain.policy import KINDS, Foreign, Outlook, decide
from flow_core.errors import PriceTooLow


def under_policy(plan: Plan, outlook: Outlook, *, ceiling: Price | None = None) -> Plan:
    """Return `plan` with the limit that its task's policy gives, which the task's own maximum caps, else `ceiling`.

    A policy with a total gives it to the task as `max_spend`, unless the task allows less already. Without a policy
    the plan stays as it is.

    Raises:
        InvalidRequest: the policy gives no limit; see `BidPolicy.limit`.
        PriceTooLow: what it gives, or the cap, is under the market's floor.
    """
    spec, quote = plan.spec, plan.quote
    if spec.bid_policy is None or spec.reservation is not None:
        return plan
    decision = decide(spec.bid_policy, outlook)
    cap, whose = (
        (spec.max_price, "the task's maximum")
        if spec.max_price is not None
        else (ceiling, "your configured ceiling")
    )
    limit, why = decision.limit, f"{decision.policy}: {decision.why}"
    if cap is not None and limit > cap:
        limit, why = cap, f"{whose}; {decision.policy} would be {decision.limit} ({decision.why})"
    if limit < quote.floor:
        raise PriceTooLow(
            f"a limit of {limit}/hr ({why}) is under the least that {quote.region} accepts for {quote.shape}:"
            f" {quote.floor}/hr",
            hint="`flow price backtest` shows what a policy comes to",
        )
    total = spec.bid_policy.total
    if total is not None and (spec.max_spend is None or spec.max_spend > total):
        spec = evolve(spec, max_spend=total)
    if not isinstance(spec.bid_policy, KINDS):
        spec = evolve(spec, bid_policy=Foreign(decision.policy))
    return evolve(plan, spec=spec, limit=limit, limit_why=why, policy=decision)
