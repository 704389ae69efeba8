"""Where to bid, and for how much: a plan is a value, made before anything is placed.

The cheapest feasible quote wins; equal prices go to the one with more free instances, then to the region's name, so
that a plan is the same twice. Every quote that was not chosen says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from attrs import field, frozen

from flow_core.domain.bid import Quote
from flow_core.domain.money import Price
from flow_core.domain.task import TaskSpec
from flow_core.domain.task_parts import Recover
from flow_core.errors import NoCapacity, PriceTooLow

if TYPE_CHECKING:
    from flow_core.domain.policy import Decision

#: Without a limit of the user's, bid this multiple of the current price.
DEFAULT_LIMIT_FACTOR = Decimal("1.5")


@frozen
class Rejected:
    """A quote that was looked at and why it was not taken."""

    quote: Quote
    why: str


@frozen(kw_only=True)
class Plan:
    """What will be bid, where, and why. `limit` is per instance-hour."""

    spec: TaskSpec
    quote: Quote
    limit: Price
    limit_why: str
    rejected: tuple[Rejected, ...] = ()
    notes: tuple[str, ...] = field(default=())
    as_of: datetime | None = None
    #: What the task's bid policy said, where it has one.
    policy: Decision | None = None

    @property
    def total_limit(self) -> Price:
        """The most that all instances together can cost an hour."""
        return self.limit * self.spec.num_instances

    @property
    def wins_now(self) -> bool:
        """Whether the limit lies above the current price, or nothing has to be won; equality may lose (contract 3)."""
        return self.spec.reservation is not None or self.limit > self.quote.price


def choose(spec: TaskSpec, quotes: Sequence[Quote], *, ceiling: Price | None = None) -> Plan:
    """Return the cheapest plan that can serve `spec`.

    `ceiling` is the user's own setting: no limit above it is bid unless asked for in the task.

    Raises:
        NoCapacity: no quote fits; the message names the nearest miss.
        PriceTooLow: quotes fit, but the task's limit, or without one the ceiling, lies under every one's floor.
    """
    rejected: list[Rejected] = []
    fitting: list[Quote] = []
    for quote in sorted(quotes, key=_preference):
        why = _misfit(spec, quote)
        if why:
            rejected.append(Rejected(quote, why))
        else:
            fitting.append(quote)
    if not fitting:
        raise _no_capacity(spec, quotes, rejected)
    most = spec.max_price if spec.max_price is not None else ceiling
    affordable = [quote for quote in fitting if most is None or most >= quote.floor]
    if not affordable:
        raise _too_low(spec, min(fitting, key=lambda quote: quote.floor), ceiling)
    chosen = affordable[0]
    rejected += [
        Rejected(quote, f"its floor of {quote.floor}/hr is above the limit")
        for quote in fitting
        if quote not in affordable
    ]
    rejected += [Rejected(quote, _dearer(quote, chosen)) for quote in affordable[1:]]
    if spec.max_price is not None and spec.recovery.how is not Recover.RAISE:
        limit, why = spec.max_price, "as asked for"
    else:
        limit, why = _default_limit(chosen, most)
    if spec.recovery.how is Recover.RAISE and most is not None:
        why += f"; its recovery may raise it to {most}/hr"
    return Plan(
        spec=spec,
        quote=chosen,
        limit=limit,
        limit_why=why,
        rejected=tuple(rejected),
        as_of=chosen.as_of,
    )


def _preference(quote: Quote) -> tuple[bool, Price, int, str, str]:
    return (
        quote.shape.gpus == 0,
        quote.price,
        -(quote.available or 0),
        quote.region,
        quote.type_id,
    )


def _misfit(spec: TaskSpec, quote: Quote) -> str | None:
    if spec.instance_type is None:
        if quote.shape.gpus == 0:
            return "has no GPU"
    elif not spec.instance_type.matches(quote.shape, type_id=quote.type_id):
        return f"is {quote.shape}, not {spec.instance_type}"
    if spec.region is not None and spec.region != quote.region:
        return f"lies in {quote.region}, not {spec.region}"
    if quote.capacity is not None and quote.capacity < spec.num_instances:
        return f"has {quote.capacity} instances in all, not {spec.num_instances}"
    return None


def _dearer(quote: Quote, chosen: Quote) -> str:
    if quote.price > chosen.price:
        return f"{quote.price}/hr, {chosen.region} is {chosen.price}/hr"
    return f"costs the same as {chosen.region}, which has more free or comes first by name"


def _default_limit(quote: Quote, ceiling: Price | None) -> tuple[Price, str]:
    wanted = max(quote.price.scaled(DEFAULT_LIMIT_FACTOR), quote.floor)
    if ceiling is not None and wanted > ceiling:
        return (
            ceiling,
            f"your ceiling ({DEFAULT_LIMIT_FACTOR} × the current price would be {wanted})",
        )
    if quote.price.scaled(DEFAULT_LIMIT_FACTOR) < quote.floor:
        return quote.floor, "the market's floor"
    return wanted, f"{DEFAULT_LIMIT_FACTOR} × the current price of {quote.price}"


def _too_low(spec: TaskSpec, least: Quote, ceiling: Price | None) -> PriceTooLow:
    accepts = f"is under the least that {least.region} accepts for {least.shape}: {least.floor}/hr"
    if spec.max_price is not None:
        return PriceTooLow(
            f"a limit of {spec.max_price}/hr {accepts}",
            hint=f"bid at least {least.floor} with --max-price-per-hour, or leave it out",
        )
    return PriceTooLow(
        f"your configured ceiling of {ceiling}/hr {accepts}",
        hint="raise it with `flow config set max_price_per_hour PRICE`, "
        "or name a limit for this task alone",
    )


def _no_capacity(
    spec: TaskSpec, quotes: Sequence[Quote], rejected: Sequence[Rejected]
) -> NoCapacity:
    asked = f"{spec.num_instances} × {spec.instance_type or 'any GPU'}" + (
        f" in {spec.region}" if spec.region else ""
    )
    if not quotes:
        return NoCapacity(
            f"{asked}: nothing is on offer at all", hint="`flow price` lists what is on offer"
        )
    same = [
        each
        for each in rejected
        if spec.instance_type is None
        or spec.instance_type.matches(each.quote.shape, type_id=each.quote.type_id)
    ]
    near = same or [
        each
        for each in rejected
        if spec.instance_type and each.quote.shape.gpu == spec.instance_type.gpu
    ]
    if not near:
        offered = ", ".join(sorted({str(quote.shape) for quote in quotes}))
        return NoCapacity(f"{asked}: no region offers that type", hint=f"on offer: {offered}")
    wanted = spec.instance_type.gpus if spec.instance_type is not None else 0
    nearest = min(
        near,
        key=lambda each: (abs(each.quote.shape.gpus - wanted) if wanted else 0, each.quote.price),
    )
    where = f"{nearest.quote.shape} in {nearest.quote.region}"
    told = f"nearest, {where}, {nearest.why}" if same else f"nearest is {where}"
    return NoCapacity(
        f"{asked}: no region has it; the {told}",
        hint="`flow price` lists what is on offer, and where",
    )
