"""Times and money as the service writes them, and reads them."""

from __future__ import annotations

from datetime import datetime, timedelta

from flow_core.domain.money import Price, Spend
from flow_core.errors import InvalidRequest
from flow_providers.mock.http.checking import Place, wrong

_MICROS = 1_000_000
_CENT = 10_000


def when(at: datetime) -> str:
    """Write a time in UTC, with a Z."""
    return at.isoformat().replace("+00:00", "Z")


def when_known(at: datetime | None) -> str | None:
    """Write a time, or null."""
    return None if at is None else when(at)


def dollars(amount: Price | Spend) -> str:
    """Write an amount with its sign, two decimals or as many as it needs, and no separators."""
    whole, part = divmod(amount.micros, _MICROS)
    decimals = f"{part:06d}".rstrip("0").ljust(2, "0")
    return f"${whole}.{decimals}"


def cents(amount: Price | Spend) -> int:
    """Return an amount in whole cents, rounded half up."""
    return (amount.micros + _CENT // 2) // _CENT


def price(value: str, place: Place) -> Price:
    """Return the price that a client wrote, with or without its sign.

    Raises:
        Refused: 422, when it is none.
    """
    try:
        return Price.parse(value)
    except InvalidRequest:
        raise wrong(place, "this is no price; write it like $25.60") from None


def span(length: timedelta) -> str:
    """Write a length of time as ISO 8601 does."""
    seconds = max(length, timedelta(0)) // timedelta(seconds=1)
    hours, rest = divmod(seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    return f"PT{hours}H{minutes}M{seconds}S"
