"""What each project would have been billed: spot instances by held time and price, reservations as a whole."""

from __future__ import annotations

from datetime import datetime, timedelta

from attrs import frozen

from flow_core.domain.budget import Usage, spent
from flow_core.domain.money import Spend
from flow_providers.mock.http.wire import cents
from flow_providers.mock.world import World


@frozen(kw_only=True)
class Line:
    """What one bid or reservation has cost, in whole cents."""

    id: str
    name: str
    kind: str
    is_live: bool
    cents: int


@frozen(kw_only=True)
class Bill:
    """What a project has cost, oldest line first; the total is the sum of the lines as they read."""

    project: str
    lines: tuple[Line, ...]

    @property
    def cents(self) -> int:
        """All lines together."""
        return sum(line.cents for line in self.lines)


def bill(world: World, now: datetime, project: str) -> Bill:
    """Return what a project would have been billed until now."""
    stretches: dict[str, list[Usage]] = {}
    for each in world.stretches.all():
        usage = Usage(
            bid_id=each.bid, nodes=each.nodes, price=each.price, since=each.since, until=each.until
        )
        stretches.setdefault(each.bid, []).append(usage)
    spot = [
        Line(
            id=bid.id,
            name=bid.name,
            kind="Bid",
            is_live=bid.is_live,
            cents=cents(spent(stretches.get(bid.id, ()), now)),
        )
        for bid in world.bids.all()
        if bid.project == project
    ]
    reserved = []
    for row in world.reservations.all():
        if row.project != project:
            continue
        micros = row.charged - row.credited
        if row.hidden:
            held = (row.ended_at or now) - row.created_at
            micros = (row.unit_price * row.quantity).over(max(held, timedelta(0))).micros
        reserved.append(
            Line(
                id=row.id,
                name=row.name,
                kind="Instance" if row.hidden else "Reservation",
                is_live=row.is_live,
                cents=cents(Spend(micros)),
            )
        )
    return Bill(project=project, lines=(*spot, *reserved))
