"""How Mithril writes times, money and numbers, read tolerantly and written strictly."""

from __future__ import annotations

from datetime import datetime, timezone
from decimal import Decimal, InvalidOperation

from flow_core.domain.money import Price, Spend

_MICROS = 1_000_000
#: More digits than any amount here has; what lies beyond is none, and what lies below is nothing.
_MOST_DIGITS = 12


def when(value: object) -> datetime:
    """Return the time that ISO 8601 text tells, in UTC; text without a zone is in UTC."""
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no time")
    told = value.strip()
    found = datetime.fromisoformat(
        _seconds_in_full(told[:-1] + "+00:00" if told[-1:] in "zZ" else told)
    )
    return found.astimezone(timezone.utc) if found.tzinfo else found.replace(tzinfo=timezone.utc)


def dollars(value: object) -> Price:
    """Return the price that text or a number tells in dollars, rounded half up to a millionth."""
    micros = _micros(value)
    if micros < 0:
        raise ValueError(f"{value!r} is less than nothing")
    return Price(micros)


def spend(value: object) -> Spend:
    """Return the amount that text or a number tells in dollars; credits may be less than nothing."""
    return Spend(_micros(value))


def written(price: Price) -> str:
    """Return a price as requests carry it, rounded down to a cent, so that it never passes what was allowed."""
    cents = price.to_cents()
    return f"${cents // 100}.{cents % 100:02d}"


def instant(at: datetime) -> str:
    """Return a time as requests carry it: UTC, to the second and with fractions only where there are some."""
    return at.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")


def _micros(value: object) -> int:
    if isinstance(value, str):
        told = value.strip().replace("$", "").replace(",", "")
    elif isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        raise ValueError(f"{value!r} is no money")
    else:
        told = repr(value) if isinstance(value, float) else str(value)
    try:
        amount = Decimal(told)
    except InvalidOperation as error:
        raise ValueError(f"{value!r} is no money") from error
    if not amount.is_finite() or amount.adjusted() > _MOST_DIGITS:
        raise ValueError(f"{value!r} is no money")
    if amount.adjusted() < -_MOST_DIGITS:
        return 0
    numerator, denominator = amount.as_integer_ratio()
    return (2 * numerator * _MICROS + denominator) // (2 * denominator)


def _seconds_in_full(told: str) -> str:
    """Give fractions of a second the six digits that Python 3.10 wants."""
    head, dot, rest = told.partition(".")
    if not dot:
        return told
    digits = len(rest) - len(rest.lstrip("0123456789"))
    return f"{head}.{rest[:digits][:6].ljust(6, '0')}{rest[digits:]}"


def whole(value: object) -> int:
    """Return the whole number that a number or its text tells, fractions cut off."""
    if type(value) is int:
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal, str)):
        raise ValueError(f"{value!r} is no number")
    try:
        number = Decimal(str(value))
    except InvalidOperation as error:
        raise ValueError(f"{value!r} is no number") from error
    if not number.is_finite() or number.adjusted() > _MOST_DIGITS:
        raise ValueError(f"{value!r} is no number")
    return int(number)


def text(value: object) -> str:
    """Return text that is text."""
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no text")
    return value
