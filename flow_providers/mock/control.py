"""What `flow mock` and tests do to a pretend cloud: faults by a task's name, and its ledger.

A task is named by its name, its bid's name on the wire or its bid's id; live bids only.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from attrs import frozen

from flow_core.domain.budget import Usage, spent
from flow_core.domain.duration import parse_duration
from flow_core.domain.money import Price, Spend
from flow_core.domain.names import split_wire_name
from flow_core.domain.shape import parse_shape
from flow_core.errors import Conflict, NotFound
from flow_providers.mock import bidding, faults
from flow_providers.mock.engine import Engine
from flow_providers.mock.rows import BidRow
from flow_providers.mock.world import World

Span = str | float | timedelta


@frozen(kw_only=True)
class LedgerLine:
    """What one bid has cost: its paid stretches, and their sum until now."""

    bid_id: str
    name: str
    owner: str
    is_live: bool
    stretches: tuple[Usage, ...]
    spent: Spend


@frozen(kw_only=True)
class Ledger:
    """What every bid has cost, oldest first."""

    lines: tuple[LedgerLine, ...]

    @property
    def total(self) -> Spend:
        """All lines together."""
        return sum((line.spent for line in self.lines), Spend.ZERO)


@frozen(kw_only=True)
class WorldStatus:
    """A pretend cloud at a glance."""

    now: datetime
    rate: float
    live_bids: int
    running_nodes: int
    forced_markets: int
    waiting_faults: int
    next_event_at: datetime | None


class Control:
    """Does things to a pretend cloud."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def outbid(self, task: str, *, lasts: Span | None = None) -> Price:
        """Outbid a task now, and return the rival's price; see `faults.outbid`."""
        span = _span(lasts)
        return self.engine.change(
            None,
            lambda world, now: faults.outbid(
                world, self.engine.rules, now, _named(world, task).id, lasts=span
            ),
        )

    def set_price(
        self,
        price: str | float | Price,
        *,
        region: str | None = None,
        instance_type: str | None = None,
        lasts: Span | None = None,
    ) -> int:
        """Have the crowd pay `price` per instance-hour from now on; return in how many markets."""
        amount = price if isinstance(price, Price) else Price.parse(price, field="price")
        shape = parse_shape(instance_type) if instance_type is not None else None
        span = _span(lasts)
        return self.engine.change(
            None,
            lambda world, now: faults.set_price(
                world, self.engine.rules, now, amount, region=region, shape=shape, lasts=span
            ),
        )

    def free_price(self, *, region: str | None = None, instance_type: str | None = None) -> int:
        """Let the crowd go back to its own price at the next round; return in how many markets."""
        shape = parse_shape(instance_type) if instance_type is not None else None
        return self.engine.change(
            None,
            lambda world, now: faults.free_price(
                world, self.engine.rules, now, region=region, shape=shape
            ),
        )

    def fail_next(self, method: str, *, after: bool = False, times: int = 1) -> None:
        """Let the next calls of a role's method go unanswered, before or after they took effect."""
        self.engine.change(
            None, lambda world, _: faults.fail_next(world, method, after=after, times=times)
        )

    def refuse_for_quota(self, *, times: int = 1) -> None:
        """Refuse the next bids for quota."""
        self.engine.change(None, lambda world, _: faults.refuse_quota(world, times=times))

    def set_quota(self, type_name: str, most: int | None) -> None:
        """Let the project hold at most so many instances of a type; None for as many as there are."""
        self.engine.change(None, lambda world, _: faults.set_quota(world, type_name, most))

    def lag_listing(self, seconds: float) -> None:
        """Keep new bids out of listings for so long; 0 ends it."""
        self.engine.change(None, lambda world, _: faults.lag_listing(world, seconds))

    def lose_node(self, task: str, rank: int = 0, *, back_after: Span | None = None) -> str:
        """Cut the power of a task's node, and return the node's id."""
        span = _span(back_after)
        return self.engine.change(
            None,
            lambda world, now: faults.lose_node(
                world, self.engine.rules, now, _named(world, task).id, rank, back_after=span
            ),
        )

    def relocate(self, task: str) -> datetime:
        """Have a task's nodes go to another host, and return when they stop here."""
        return self.engine.change(
            None,
            lambda world, now: faults.relocate(
                world, self.engine.rules, now, _named(world, task).id
            ),
        )

    def ledger(self) -> Ledger:
        """Return what every bid of the world has cost."""

        def read(world: World, now: datetime) -> Ledger:
            stretches: dict[str, list[Usage]] = {}
            for row in world.stretches.all():
                usage = Usage(
                    bid_id=row.bid,
                    nodes=row.nodes,
                    price=row.price,
                    since=row.since,
                    until=row.until,
                )
                stretches.setdefault(row.bid, []).append(usage)
            return Ledger(
                lines=tuple(_line(bid, stretches.get(bid.id, ()), now) for bid in world.bids.all())
            )

        return self.engine.look(None, read)

    def status(self) -> WorldStatus:
        """Return the world at a glance."""

        def read(world: World, now: datetime) -> WorldStatus:
            return WorldStatus(
                now=now,
                rate=world.meta.rate,
                live_bids=world.bids.count(),
                running_nodes=sum(node.is_booted for node in world.nodes.live()),
                forced_markets=sum(market.forced is not None for market in world.markets.live()),
                waiting_faults=world.faults.count(),
                next_event_at=world.next_due(),
            )

        return self.engine.look(None, read)

    def reset(self, *, even_if_live: bool = False) -> int:
        """Begin a new world, and return how many live bids ended with the old one.

        Raises:
            Conflict: something is live, and `even_if_live` is not said.
        """

        def act(world: World, now: datetime) -> int:
            live = world.bids.live()
            if live and not even_if_live:
                names = ", ".join(task_name(bid.name) for bid in live[:5])
                raise Conflict(
                    f"{len(live)} bids are live in the pretend cloud: {names}",
                    hint="say --yes to end them too",
                )
            for bid in live:
                bidding.withdraw(world, self.engine.rules, now, bid.id)
            return len(live)

        ended = self.engine.change(None, act)
        self.engine.wipe()
        return ended


def task_name(wire: str) -> str:
    """Return the user's name for a bid; a stranger's bid keeps its own."""
    found = split_wire_name(wire)
    return found[0] if found is not None else wire


def _named(world: World, task: str) -> BidRow:
    live = world.bids.live()
    for bid in reversed(live):
        if task in (bid.id, bid.name, task_name(bid.name)):
            return bid
    known = ", ".join(sorted({task_name(bid.name) for bid in live})) or "nothing is live"
    raise NotFound(
        f"no live bid of the pretend cloud belongs to a task {task!r}", hint=f"live: {known}"
    )


def _line(bid: BidRow, stretches: Sequence[Usage], now: datetime) -> LedgerLine:
    return LedgerLine(
        bid_id=bid.id,
        name=task_name(bid.name),
        owner=bid.owner,
        is_live=bid.is_live,
        stretches=tuple(stretches),
        spent=spent(stretches, now),
    )


def _span(value: Span | None) -> timedelta | None:
    return None if value is None else parse_duration(value)
