"""Text that may be shown on a terminal: strangers' words with their teeth drawn, ages, times, money as numbers."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from flow_core.domain.duration import rough_duration
from flow_core.domain.money import Price, Spend


def clean(text: object, *, lines: bool = False) -> str:
    """Return `text` with everything a terminal might obey written out, such as `\\x1b`; `lines` keeps line breaks.

    That is whatever Python doesn't hold to be printable: controls, marks that reorder or hide text, odd spaces.
    """
    raw = str(text)
    if raw.isprintable():
        return raw
    return "".join(
        char
        if char.isprintable() or (lines and char == "\n")
        else char.encode("unicode_escape").decode("ascii")
        for char in raw
    )


def age(since: datetime | None, now: datetime) -> str:
    """Return how long ago `since` was, for a table; '' when unknown."""
    return rough_duration(now - since) if since is not None else ""


def stamp(moment: datetime | None) -> str | None:
    """Return a moment as JSON has it: ISO 8601 in UTC."""
    if moment is None:
        return None
    return moment.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")


def clock_time(moment: datetime) -> str:
    """Return a moment as a history shows it, in UTC."""
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M:%SZ")


def dollars(amount: Price | Spend | None) -> float | int | None:
    """Return an amount of money as JSON has it: a number of dollars."""
    if amount is None:
        return None
    whole, rest = divmod(amount.micros, 1_000_000)
    return amount.micros / 1_000_000 if rest else whole


def seconds(duration: timedelta | None) -> float | None:
    """Return a duration as JSON has it."""
    return None if duration is None else duration.total_seconds()
