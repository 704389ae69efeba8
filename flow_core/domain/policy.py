"""Bid policies: rules that choose a bid's limit from what the market says when the bid is made.

A policy answers once, before the bid; the limit then stands until somebody changes it. `policy_form`
says how one is written.

The budget's rule: `limit = budget / (instances × hours)`, where hours run to the deadline, or are the task's own
`max_run_time` if that is shorter. Every bid up to that limit keeps the promise, and a higher limit never wins less, so
that is the one to make. Times of day are in UTC unless they say otherwise: `09:00+01:00`.

Why a cent above a percentile: who bids exactly the price may lose (contract, section 3), so a bid at the percentile
would have nodes for less than that share of the time.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Protocol, runtime_checkable

from attrs import field, frozen

from flow_core.domain.duration import format_duration, parse_duration, rough_duration
from flow_core.domain.moment import parse_moment
from flow_core.domain.money import Price, Spend
from flow_core.domain.price_track import PriceTrack
from flow_core.errors import InvalidRequest

#: How far a percentile looks back when it doesn't say.
DEFAULT_WINDOW = timedelta(days=7)
_CENT = Price.from_cents(1)
_TIME_OF_DAY = re.compile(r"(\d{1,2}):(\d\d)(z|[+-]\d\d:?\d\d)?")


@frozen(kw_only=True)
class Outlook:
    """What a policy may look at: the market as it is now, its past, and how much of it the task wants.

    `run_time` is the longest that the task may hold nodes, None without such an end. `track` is None where the past
    isn't known, or wasn't asked for.
    """

    now: datetime
    price: Price
    instances: int = 1
    run_time: timedelta | None = None
    track: PriceTrack | None = None
    price_source: str = ""
    price_as_of: datetime | None = None


@frozen
class Input:
    """One thing that a limit was chosen by: what it is, what it said, who said so and when."""

    name: str
    value: str
    source: str = ""
    as_of: datetime | None = None


@frozen(kw_only=True)
class Decision:
    """The limit that a policy gave, in words why, and by which inputs. `policy` is how it is written."""

    policy: str
    limit: Price
    why: str
    inputs: tuple[Input, ...] = ()


@runtime_checkable
class BidPolicy(Protocol):
    """Chooses a limit. Pure: equal outlooks give equal limits, and nothing is asked of the world.

    `str(policy)` is what users see. For those below it is how they are written, and `policy_form.parse_policy` reads it
    back as an equal value. Anyone may have others; a task that was submitted with one keeps its name, as `Foreign`.
    """

    @property
    def window(self) -> timedelta | None:
        """How much of the past it must see; None when it needs none."""
        ...

    @property
    def total(self) -> Spend | None:
        """The most that the whole task may cost under this policy; None when it doesn't say."""
        ...

    def limit(self, outlook: Outlook) -> Price:
        """Return the limit per instance-hour.

        Raises:
            InvalidRequest: there is none: its deadline has passed, or it lacks the past that it needs.
        """
        ...

    def why(self, outlook: Outlook) -> str:
        """Return a clause that says how the limit comes about."""
        ...

    def inputs(self, outlook: Outlook) -> tuple[Input, ...]:
        """Return what the limit was chosen by."""
        ...

    def deadline(self, now: datetime) -> datetime | None:
        """Return by when the task should be done, for a bid made at `now`; None when it doesn't say."""
        ...


@frozen
class Fixed:
    """Always the same limit."""

    amount: Price

    window: timedelta | None = field(default=None, init=False, eq=False, repr=False)
    total: Spend | None = field(default=None, init=False, eq=False, repr=False)

    def limit(self, outlook: Outlook) -> Price:
        """Return the limit it was made with."""
        return self.amount

    def why(self, outlook: Outlook) -> str:
        """See `BidPolicy.why`."""
        return "a fixed limit"

    def inputs(self, outlook: Outlook) -> tuple[Input, ...]:
        """Nothing but itself."""
        return ()

    def deadline(self, now: datetime) -> None:
        """None."""

    def __str__(self) -> str:
        return str(self.amount).replace("$", "").replace(",", "")


@frozen
class Multiple:
    """So many times the current price, rounded half up to a cent."""

    times: Decimal

    window: timedelta | None = field(default=None, init=False, eq=False, repr=False)
    total: Spend | None = field(default=None, init=False, eq=False, repr=False)

    def limit(self, outlook: Outlook) -> Price:
        """See `BidPolicy.limit`."""
        return outlook.price.scaled(self.times)

    def why(self, outlook: Outlook) -> str:
        """See `BidPolicy.why`."""
        return f"{_plain(self.times)} × the current price of {outlook.price}"

    def inputs(self, outlook: Outlook) -> tuple[Input, ...]:
        """The current price."""
        return (_current(outlook),)

    def deadline(self, now: datetime) -> None:
        """None."""

    def __str__(self) -> str:
        return f"{_plain(self.times)}x"


@frozen
class Percentile:
    """A cent above what the price stayed at or under for `percent` (over 0, at most 100) of the time in `window`."""

    percent: Decimal
    window: timedelta = DEFAULT_WINDOW

    total: Spend | None = field(default=None, init=False, eq=False, repr=False)

    def limit(self, outlook: Outlook) -> Price:
        """See `BidPolicy.limit`; grows with `percent`."""
        until = outlook.now.timestamp()
        found = _past(outlook, self).quantile(
            float(self.percent) / 100, since=until - self.window.total_seconds(), until=until
        )
        return Price(found.micros + _CENT.micros)

    def why(self, outlook: Outlook) -> str:
        """See `BidPolicy.why`."""
        below = Price(self.limit(outlook).micros - _CENT.micros)
        share = f"{_plain(self.percent)} % of the last {format_duration(self.window)}"
        return f"the price was at or under {below} for {share}; a cent above that"

    def inputs(self, outlook: Outlook) -> tuple[Input, ...]:
        """The history that was looked at: how far it went, between which prices, and when the last one was told."""
        track = _past(outlook, self)
        until = outlook.now.timestamp()
        since = max(until - self.window.total_seconds(), track.starts[0])
        low, high = track.range(since=since, until=until)
        prices = len(track.stretches(since, until))
        seen = rough_duration(timedelta(seconds=max(until - since, 0)))
        several = "price" if prices == 1 else "prices"
        value = f"{seen} back, {prices} {several} from {low} to {high}"
        return (Input("price history", value, track.source, track.told),)

    def deadline(self, now: datetime) -> None:
        """None."""

    def __str__(self) -> str:
        return f"p{_plain(self.percent)}/{format_duration(self.window)}"


@frozen
class Budget:
    """What `most` allows for all instances until `by`: a time of day, a moment or a duration, as it was written.

    The same text is another moment tomorrow: it is read against the clock when the bid is made.
    """

    most: Spend
    by: str

    window: timedelta | None = field(default=None, init=False, eq=False, repr=False)

    @property
    def total(self) -> Spend:
        """The budget itself."""
        return self.most

    def limit(self, outlook: Outlook) -> Price:
        """Return the highest limit with which `most` can't be passed, rounded down to a cent; see the module's top."""
        held = self._held(outlook) // timedelta(microseconds=1)
        cents = self.most.micros * 3_600_000_000 // (held * outlook.instances * 10_000)
        if cents == 0:
            raise InvalidRequest(
                {"bid_policy": f"{self}: buys not even a cent's worth of each hour; allow more"}
            )
        return Price.from_cents(cents)

    def why(self, outlook: Outlook) -> str:
        """See `BidPolicy.why`."""
        held = self._held(outlook)
        each = "" if outlook.instances == 1 else f"{outlook.instances} instances × "
        hours = f"{each}{rough_duration(held)}"
        return f"{self.most} / {hours if outlook.instances == 1 else f'({hours})'}"

    def inputs(self, outlook: Outlook) -> tuple[Input, ...]:
        """The deadline, and the task's own end where that comes first."""
        deadline = self.deadline(outlook.now)
        left = rough_duration(deadline - outlook.now)
        found = [
            Input(
                "deadline", f"{deadline:%Y-%m-%d %H:%MZ}, {left} from now", "the provider's clock"
            )
        ]
        if outlook.run_time is not None and outlook.run_time < deadline - outlook.now:
            found.append(Input("max run time", format_duration(outlook.run_time), "the task"))
        return (*found, _current(outlook))

    def deadline(self, now: datetime) -> datetime:
        """Return the moment that `by` says at `now`, in UTC; a time of day is the next one."""
        return deadline_of(self.by, now=now)

    def _held(self, outlook: Outlook) -> timedelta:
        deadline = self.deadline(outlook.now)
        left = deadline - outlook.now
        if left <= timedelta(0):
            raise InvalidRequest(
                {"bid_policy": f"{self}: {deadline:%Y-%m-%d %H:%MZ} has passed; name a later time"}
            )
        return left if outlook.run_time is None else min(left, outlook.run_time)

    def __str__(self) -> str:
        dollars, micros = divmod(self.most.micros, 10**6)
        cents = f".{micros:06d}".rstrip("0") if micros else ""
        return f"budget:{dollars}{cents}@{self.by}"


@frozen
class Foreign:
    """A policy of somebody's own that was asked when its task was submitted; only its name is known any more."""

    name: str

    window: timedelta | None = field(default=None, init=False, eq=False, repr=False)
    total: Spend | None = field(default=None, init=False, eq=False, repr=False)

    def limit(self, outlook: Outlook) -> Price:
        """Raise InvalidRequest: who could choose is not here."""
        raise InvalidRequest(
            {
                "bid_policy": f"{self.name}: is a policy of a program's own, and chose its limit there"
            }
        )

    def why(self, outlook: Outlook) -> str:
        """See `BidPolicy.why`."""
        return "chosen when the task was submitted"

    def inputs(self, outlook: Outlook) -> tuple[Input, ...]:
        """Return none: they are not kept."""
        return ()

    def deadline(self, now: datetime) -> None:
        """Return None: it is not kept."""

    def __str__(self) -> str:
        return self.name


#: Every kind of policy that can be written.
KINDS = (Fixed, Multiple, Percentile, Budget)


def decide(policy: BidPolicy, outlook: Outlook) -> Decision:
    """Return what `policy` says to `outlook`, explained.

    Raises:
        InvalidRequest: see `BidPolicy.limit`.
    """
    return Decision(
        policy=str(policy),
        limit=policy.limit(outlook),
        why=policy.why(outlook),
        inputs=policy.inputs(outlook),
    )


def deadline_of(text: str, *, now: datetime, field: str = "bid_policy") -> datetime:
    """Return the moment that a deadline says: `09:00` (the next, in UTC), `8h` from `now`, or a moment.

    Raises:
        InvalidRequest: it says none.
    """
    word = text.strip().lower()
    match = _TIME_OF_DAY.fullmatch(word)
    if match:
        return _next_time(match, word, now, field)
    if re.fullmatch(r"\+?(\d+[dhms])+", word):
        return now + parse_duration(word.lstrip("+"), field=field)
    return parse_moment(text.strip(), now=now, field=field)


def _next_time(match: re.Match[str], word: str, now: datetime, field: str) -> datetime:
    try:
        offset = (match[3] or "z").replace("z", "+0000")
        told = datetime.strptime(f"{match[1]}:{match[2]}{offset}", "%H:%M%z")
    except ValueError as error:
        raise InvalidRequest({field: f"{word!r} is no time of day; write '09:00'"}) from error
    here = now.astimezone(told.tzinfo)
    found = here.replace(hour=told.hour, minute=told.minute, second=0, microsecond=0)
    if found <= here:
        found += timedelta(days=1)
    return found.astimezone(timezone.utc)


def _past(outlook: Outlook, policy: BidPolicy) -> PriceTrack:
    if outlook.track is None:
        raise InvalidRequest(
            {"bid_policy": f"{policy}: needs the market's price history, which isn't told here"},
            hint="`2x` or a limit in dollars need none",
        )
    return outlook.track


def _current(outlook: Outlook) -> Input:
    source = outlook.price_source or "the market"
    return Input("price now", f"{outlook.price}/hr", source, outlook.price_as_of)


def _plain(number: Decimal) -> str:
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
