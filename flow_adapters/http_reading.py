"""Reading what HTTP says around a body: dates, waits and the words of refusals."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

#: How much of a server's own words a message takes over, in characters.
_MOST_WORDS = 500


def retry_after(headers: Mapping[str, str], *, now: datetime) -> float | None:
    """Return how many seconds the server asks to wait: given as such, or as a date by its own clock if it tells it."""
    text = headers.get("Retry-After", "").strip()
    if text.isdecimal() and len(text) < 10:
        return float(text)
    until = http_date(text)
    if until is None:
        return None
    since = http_date(headers.get("Date", "")) or now
    return max((until - since).total_seconds(), 0.0)


def http_date(text: str) -> datetime | None:
    """Return the time that an HTTP date tells, in UTC, or None when it tells none."""
    try:
        found = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError):
        return None
    return found.replace(tzinfo=found.tzinfo or timezone.utc).astimezone(timezone.utc)


def words_of(data: object) -> str:
    """Return what an error body says, in one line: `detail`, `message` or `error`, lists joined; empty without."""
    if isinstance(data, str):
        return " ".join(data.split())[:_MOST_WORDS]
    if isinstance(data, list):
        return "; ".join(filter(None, map(words_of, data)))[:_MOST_WORDS]
    if isinstance(data, dict):
        if isinstance(data.get("msg"), str):
            where = ".".join(str(part) for part in data.get("loc") or () if part != "body")
            return (f"{where}: " if where else "") + words_of(data["msg"])
        said = (words_of(data.get(key)) for key in ("detail", "message", "error", "reason"))
        return next(filter(None, said), "")
    return ""
