"""Durations as people write them: `90`, `90s`, `15m`, `1h30m`, `2d`."""

from __future__ import annotations

import re
from datetime import timedelta

from flow_core.errors import InvalidRequest

_UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
#: Seconds may go without their unit only when they stand alone: '1h30' would mean half an hour to some.
_FORM = re.compile(
    r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d{1,6})?)s)?|(\d+(?:\.\d{1,6})?)"
)
#: A century; longer than any task, shorter than what overflows a date.
LONGEST = timedelta(days=36_500)


def parse_duration(value: str | int | float | timedelta, *, field: str = "duration") -> timedelta:
    """Return the positive duration that `value` says; a bare number is in seconds.

    Raises:
        InvalidRequest: `value` is no duration, is not positive, or is over a century.
    """
    found = _duration(value)
    if found is None:
        raise InvalidRequest(
            {field: f"{value!r} is no duration; write '90s', '15m', '1h30m' or '2d'"}
        )
    if not timedelta(0) < found <= LONGEST:
        raise InvalidRequest({field: f"{value!r} must be more than nothing and at most a century"})
    return found


def format_duration(duration: timedelta) -> str:
    """Write it so that `parse_duration` reads the same to the microsecond, e.g. '1h30m' or '0s'."""
    seconds, micros = divmod(duration // timedelta(microseconds=1), 1_000_000)
    parts: list[str] = []
    for unit, size in _UNITS.items():
        count, seconds = divmod(seconds, size)
        if unit == "s" and micros:
            parts.append(f"{count}.{micros:06d}".rstrip("0") + "s")
        elif count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def rough_duration(duration: timedelta) -> str:
    """Write it for a glance: its two largest units, e.g. '3m', '2h 5m', '41s', '4d 3h'."""
    seconds = max(0, int(duration.total_seconds()))
    parts: list[str] = []
    for unit, size in _UNITS.items():
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count}{unit}")
        elif parts:
            break
    return " ".join(parts[:2]) or "0s"


def _duration(value: object) -> timedelta | None:
    if isinstance(value, timedelta):
        return value
    if isinstance(value, bool):
        return None
    try:
        if isinstance(value, (int, float)):
            return timedelta(seconds=value)
        if not isinstance(value, str):
            return None
        text = value.strip().lower().replace(" ", "")
        match = _FORM.fullmatch(text)
        if not match or not text:
            return None
        days, hours, minutes, seconds, bare = match.groups()
        return timedelta(
            days=int(days or 0),
            hours=int(hours or 0),
            minutes=int(minutes or 0),
            seconds=float(seconds or bare or 0),
        )
    except (OverflowError, ValueError):
        return None
