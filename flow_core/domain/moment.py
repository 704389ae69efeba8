"""Moments as people write them: `now`, `+2h`, `2026-03-02`, `2026-03-02T09:00+01:00`."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from flow_core.domain.duration import parse_duration
from flow_core.errors import InvalidRequest

_MINUTE = timedelta(minutes=1)


def parse_moment(text: str, *, now: datetime, field: str = "moment") -> datetime:
    """Return the moment that `text` says, in UTC; one without its zone is in UTC, a date alone its first minute.

    `now` and what is reckoned from it go up to the next full minute, so that it isn't past before it is read.

    Raises:
        InvalidRequest: it says none.
    """
    word = text.strip()
    if word.lower() == "now":
        return _whole_minute(now)
    if word.startswith("+"):
        return _whole_minute(now + parse_duration(word[1:], field=field))
    try:
        found = datetime.fromisoformat(word.replace("Z", "+00:00").replace("z", "+00:00"))
    except ValueError as error:
        raise InvalidRequest(
            {
                field: f"{text!r} is no moment; write '2026-03-02T09:00Z', '2026-03-02', 'now' or '+2h'"
            }
        ) from error
    if found.tzinfo is None:
        return found.replace(tzinfo=timezone.utc)
    return found.astimezone(timezone.utc)


def parse_since(text: str, *, now: datetime, field: str = "since") -> datetime:
    """Return the moment from which on something counts: a moment as above, or how long ago, such as `10m` or `7d`.

    Raises:
        InvalidRequest: it says neither.
    """
    try:
        return now - parse_duration(text, field=field)
    except (InvalidRequest, OverflowError):
        pass
    try:
        return parse_moment(text, now=now, field=field)
    except InvalidRequest as error:
        raise InvalidRequest(
            {field: f"{text!r} says no time; write '10m', '7d' or '2026-03-02T09:00Z'"}
        ) from error


def _whole_minute(moment: datetime) -> datetime:
    whole = moment.replace(second=0, microsecond=0)
    return whole if whole == moment else whole + _MINUTE
