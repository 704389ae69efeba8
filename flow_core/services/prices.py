"""Prices over time: what a market cost, and the limits that policies choose by it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from attrs import frozen

from flow_core.domain.bid import Quote
from flow_core.domain.money import Price
from flow_core.domain.placement import Plan, choose
from flow_core.domain.policy import Outlook
from flow_core.domain.policy_plan import under_policy
from flow_core.domain.price_track import PriceTrack, track_of
from flow_core.domain.shape import InstanceShape
from flow_core.domain.task import TaskSpec
from flow_core.errors import Unsupported
from flow_core.services.ports import Ports

if TYPE_CHECKING:  # most commands plan and never look back, so these load where they are used
    from flow_core.domain.backtest import Trial
    from flow_core.domain.backtest_report import Report
    from flow_core.domain.own_bids import OwnBid
    from flow_core.domain.price_walk import Walk

#: A history is asked for in pieces this long: providers thin what they tell, each piece by itself.
PIECE = timedelta(days=7)
#: As long as a price that nobody has a past of counts as having held.
_INSTANT = timedelta(seconds=1)


#: How many ended tasks are looked through for bids in one market.
_ENDED = 1_000
#: How often made-up prices move.
_STEP = timedelta(minutes=30)


@frozen(kw_only=True)
class BackTest:
    """What was played, on which prices, and what it came to."""

    trial: Trial
    quote: Quote
    track: PriceTrack
    report: Report


class Prices:
    """What users ask about prices."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    def market(self, shape: InstanceShape | None, region: str | None) -> Quote:
        """Return the cheapest market of a shape; without one, of the shape and the region that settings name, if any.

        Raises:
            NoCapacity: there is none.
        """
        defaults = self._ports.defaults
        asked = TaskSpec(
            command="true",
            instance_type=shape or defaults.instance_type,
            region=region or defaults.region,
        )
        return choose(asked, self._ports.provider.market.quotes(asked.instance_type)).quote

    def own(self, quote: Quote, *, back: timedelta) -> Sequence[OwnBid]:
        """Return this machine's own bids in a market that stood in that time, oldest first."""
        from flow_core.domain.own_bids import own_bid

        ports = self._ports
        begin = ports.provider.clock.now() - back
        records = [
            record
            for record in reversed(ports.journal.recent(_ENDED, provider=ports.provider.name))
            if (record.type_id, record.region) == (quote.type_id, quote.region)
            and record.bid_id is not None
            and record.spec.reservation is None
            and (record.ended_at is None or record.ended_at > begin)
        ]
        ids = [record.bid_id for record in records if record.bid_id is not None]
        usage = ports.provider.usage
        paid = usage.usage(ids) if usage is not None and ids else {}
        return [own_bid(record, paid.get(record.bid_id or "", ())) for record in records]

    def walk(self, quote: Quote, walk: Walk, *, back: timedelta, seed: int) -> PriceTrack:
        """Return made-up prices for a market that walk about the price of now; equal seeds give equal prices."""
        from flow_core.domain.price_walk import walked

        return walked(
            walk,
            base=quote.price,
            floor=quote.floor,
            until=self._ports.provider.clock.now(),
            back=back,
            step=_STEP,
            chance=random.Random(f"{seed}/prices"),
            source=f"made-up prices (seed {seed})",
        )

    def backtest(
        self, trial: Trial, quote: Quote, track: PriceTrack, *, runs: int, seed: int
    ) -> BackTest:
        """Play `trial` so many times against `track`; equal seeds give equal reports.

        Raises:
            InvalidRequest: see `backtest.play`.
        """
        from flow_core.domain.backtest import play
        from flow_core.domain.backtest_report import report

        played = play(track, trial, runs=runs, chance=random.Random(f"{seed}/runs"))
        told = report(played, within=trial.within, chance=random.Random(f"{seed}/report"))
        return BackTest(trial=trial, quote=quote, track=track, report=told)

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
