"""How bid policies are written, on the command line, in task files and from Python.

The grammar, by example:

    12.29                the limit itself, in dollars per instance-hour
    2x                   twice the current price
    p90, p90/24h         a cent above what the price stayed at or under for 90 % of the last 7 days, or 24 hours
    budget:40@09:00      what $40 allow for all instances until 09:00; the task never costs more than that
    budget:40@8h         the same, until 8 hours from now; a date and time, such as 2026-03-02T09:00Z, does too
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from decimal import Decimal

from flow_core.domain.duration import format_duration, parse_duration
from flow_core.domain.money import Price, Spend
from flow_core.domain.policy import (
    DEFAULT_WINDOW,
    BidPolicy,
    Budget,
    Fixed,
    Foreign,
    Multiple,
    Percentile,
    deadline_of,
)
from flow_core.errors import InvalidRequest

LONGEST_WINDOW = timedelta(days=90)
MOST_TIMES = Decimal(1000)
_TIMES = re.compile(r"(?:(\d{1,6}(?:\.\d{1,6})?)\s*[x×]|[x×]\s*(\d{1,6}(?:\.\d{1,6})?))")
_PERCENT = re.compile(r"p(\d{1,3}(?:\.\d{1,3})?)(?:/(.+))?")
_BUDGET = re.compile(r"(?:budget:)?\s*([^@]+)@(.+)")
_GRAMMAR = "write '12.29', '2x', 'p90/24h' or 'budget:40@09:00'"
_SOME_DAY = datetime(2026, 1, 1, tzinfo=timezone.utc)


def parse_policy(text: object, *, field: str = "bid_policy") -> BidPolicy:
    """Return the policy that `text` says, by the grammar at the top; a number is a fixed limit.

    Raises:
        InvalidRequest: it says none.
    """
    if isinstance(text, bool) or not isinstance(text, (str, int, float, Decimal)):
        raise InvalidRequest({field: f"{text!r} is no bid policy; {_GRAMMAR}"})
    word = str(text).strip()
    for form, read in _FORMS:
        match = form.fullmatch(word.lower())
        if match:
            return read(match, word, field)
    try:
        amount = Price.parse(text, field=field)
    except InvalidRequest as error:
        if any(char.isdigit() for char in word[:2]):
            raise
        raise InvalidRequest({field: f"{word!r} is no bid policy; {_GRAMMAR}"}) from error
    if amount == Price.ZERO:
        raise InvalidRequest({field: "the limit is $0.00; a bid of nothing wins nothing"})
    return Fixed(amount)


def kept_policy(text: str) -> BidPolicy:
    """Return the policy of a task that was submitted: the one that `text` says, else one of somebody's own."""
    try:
        return parse_policy(text)
    except InvalidRequest:
        return Foreign(text)


def _times(match: re.Match[str], word: str, field: str) -> BidPolicy:
    times = Decimal(match[1] or match[2])
    if not 0 < times <= MOST_TIMES:
        raise InvalidRequest({field: f"{word!r} must be more than 0x and at most {MOST_TIMES}x"})
    return Multiple(times)


def _percent(match: re.Match[str], word: str, field: str) -> BidPolicy:
    percent = Decimal(match[1])
    if not 0 < percent <= 100:
        raise InvalidRequest({field: f"{word!r} must lie over p0 and at most at p100"})
    window = parse_duration(match[2], field=field) if match[2] else DEFAULT_WINDOW
    if window > LONGEST_WINDOW:
        longest = format_duration(LONGEST_WINDOW)
        raise InvalidRequest(
            {field: f"{word!r} looks back further than {longest}, the most there is"}
        )
    return Percentile(percent, window)


def _budget(match: re.Match[str], word: str, field: str) -> BidPolicy:
    most = Spend.parse(match[1], field=field)
    if most <= Spend.ZERO:
        raise InvalidRequest({field: f"{word!r} allows nothing"})
    by = word.partition("@")[2].strip()
    deadline_of(by, now=_SOME_DAY, field=field)
    return Budget(most, by)


_FORMS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str], str, str], BidPolicy]], ...] = (
    (_TIMES, _times),
    (_PERCENT, _percent),
    (_BUDGET, _budget),
)
