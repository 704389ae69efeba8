"""Prices over time: what a market cost, and the limits that policies choose by it."""

from __future__ import annotations

from datetime import datetime, timedelta

from flow_core.domain.bid import Quote
from flow_core.domain.money import Price
from flow_core.domain.placement import Plan
from flow_core.domain.policy import Outlook
from flow_core.domain.policy_plan import under_policy
from flow_core.domain.price_track import PriceTrack, track_of
from flow_core.errors import Unsupported
from flow_core.services.ports import Ports

#: A history is asked for in pieces this long: providers thin what they tell, each piece by itself.
PIECE = timedelta(days=7)
#: As long as a price that nobody has a past of counts as having held.
_INSTANT = timedelta(seconds=1)


class Prices:
    """What users ask about prices."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    def track(self, quote: Quote, *, back: timedelta) -> PriceTrack:
        """Return how the price of `quote`'s market moved from `back` ago until now, in one call for each week of it.

        It may begin later, where the provider doesn't remember that far.

        Raises:
            Unsupported: the provider tells no history.
            NotFound: it has no such market.
        """
        provider = self._ports.provider
        if provider.catalog is None:
            raise Unsupported(
                f"{provider.name} tells no price history",
                hint="a limit in dollars, or `2x`, needs none",
            )
        now = provider.clock.now()
        points: list[tuple[datetime, Price]] = []
        begin = now - back
        while begin < now:
            end = min(begin + PIECE, now)
            told = provider.catalog.history(
                quote.type_id, region=quote.region, since=begin, until=end
            )
            points += [(point.at, point.price) for point in told]
            begin = end
        if not any(at < now for at, _ in points):
            points.append((now - _INSTANT, quote.price))
        return track_of(points, until=now, source=f"{provider.name}'s price history")


def by_policy(ports: Ports, plan: Plan) -> Plan:
    """Return `plan` with the limit of its task's bid policy, where it has one; asks for as much past as that needs.

    Raises:
        InvalidRequest, PriceTooLow: see `policy_plan.under_policy`.
        Unsupported: the policy needs a history, and the provider tells none.
    """
    policy = plan.spec.bid_policy
    if policy is None:
        return plan
    quote = plan.quote
    outlook = Outlook(
        now=ports.provider.clock.now(),
        price=quote.price,
        instances=plan.spec.num_instances,
        run_time=plan.spec.max_run_time,
        track=None if policy.window is None else Prices(ports).track(quote, back=policy.window),
        price_source=quote.source,
        price_as_of=quote.as_of,
    )
    return under_policy(plan, outlook, ceiling=ports.defaults.ceiling)
