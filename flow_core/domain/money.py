"""Money as integer micro-dollars: prices per instance-hour, and what was spent.

A micro-dollar is a millionth: fine enough for a second of a cheap instance, and whole, so that sums are exact and
no rounding happens but where a function says so. Dollars are the only currency.
"""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from typing import ClassVar

from attrs import field, frozen, validators

from flow_core.errors import InvalidRequest

_MICROS = 1_000_000
_MICROS_PER_CENT = 10_000
_MICROSECONDS_PER_HOUR = 3_600_000_000
#: A billion dollars. Nothing here costs it, and every sum below it fits sqlite's 64-bit integers.
_MOST_DOLLARS = 1_000_000_000
_MOST_MICROS = _MOST_DOLLARS * _MICROS
_FORM = re.compile(r"(-?)\$?\s*(-?)((?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?|\.[0-9]+)")


@frozen(order=True)
class Price:
    """A price in micro-dollars per instance-hour, never negative."""

    ZERO: ClassVar[Price]

    micros: int = field(validator=[validators.instance_of(int), validators.ge(0)])

    @classmethod
    def parse(
        cls, value: str | int | Decimal | float, *, field: str = "max_price_per_hour"
    ) -> Price:
        """Return the price that `value` says in dollars: '$12.29', '1,234.5', 12.29 or a Decimal.

        A float is read to 15 significant digits, which is what it surely holds, so that 1.1 * 3
        is 3.30.

        Raises:
            InvalidRequest: it is no amount of money, negative, finer than a millionth of a
                dollar, or over a billion.
        """
        return cls(_micros(value, field=field))

    @classmethod
    def from_cents(cls, cents: int) -> Price:
        """Return the price of so many whole cents."""
        return cls(cents * _MICROS_PER_CENT)

    def to_cents(self) -> int:
        """Return whole cents, rounded down: a limit sent in cents never passes what was allowed."""
        return self.micros // _MICROS_PER_CENT

    def __str__(self) -> str:
        """Write it exactly: '$12.29', with more than two decimals only as needed."""
        dollars, micros = divmod(self.micros, _MICROS)
        decimals = f"{micros:06d}".rstrip("0").ljust(2, "0")
        return f"${dollars:,}.{decimals}"

    def __mul__(self, count: int) -> Price:
        """Return the price of `count` instances together, exactly."""
        return Price(self.micros * count)

    __rmul__ = __mul__

    def per(self, gpus: int) -> Price:
        """Return one GPU's share for display, rounded half up to what `Spend` would show.

        An instance without GPUs is its own share.
        """
        return Price(_for_reading(_divided(self.micros, max(gpus, 1))))

    def scaled(self, factor: Decimal) -> Price:
        """Return the price times `factor`, rounded half up to a cent."""
        numerator, denominator = factor.as_integer_ratio()
        cents = _divided(self.micros * numerator, denominator * _MICROS_PER_CENT)
        return Price.from_cents(cents)

    def over(self, held: timedelta) -> Spend:
        """Return what one instance costs at this price for `held`, rounded half up, once.

        A time before its beginning costs nothing.
        """
        microseconds = max(held // timedelta(microseconds=1), 0)
        return Spend(_divided(self.micros * microseconds, _MICROSECONDS_PER_HOUR))


Price.ZERO = Price(0)


@frozen(order=True)
class Spend:
    """An amount in micro-dollars that was, or may be, paid."""

    ZERO: ClassVar[Spend]

    micros: int = field(validator=validators.instance_of(int))

    @classmethod
    def parse(cls, value: str | int | Decimal | float, *, field: str = "max_spend") -> Spend:
        """Return the amount that `value` says, by the rules of `Price.parse`.

        Raises:
            InvalidRequest: as `Price.parse` does.
        """
        return cls(_micros(value, field=field))

    def __str__(self) -> str:
        """Write it for reading: whole cents, '$0.42', or two digits below one, '$0.0032'."""
        sign = "-" if self.micros < 0 else ""
        shown = _for_reading(abs(self.micros))
        dollars, micros = divmod(shown, _MICROS)
        decimals = _decimals(shown)
        return f"{sign}${dollars:,}.{f'{micros:06d}'[:decimals]}"

    def __add__(self, other: Spend) -> Spend:
        """Return both together, exactly; `sum(amounts, Spend.ZERO)` adds many."""
        return Spend(self.micros + other.micros)


Spend.ZERO = Spend(0)


def _micros(value: object, *, field: str) -> int:
    amount = _amount(value)
    shown = _shown(value)
    if amount is None:
        problem = f"{shown} is not an amount of money; write it like '12.29' or '$12.29'"
    elif amount < 0:
        problem = f"{shown} is negative; the least amount is $0"
    elif amount > _MOST_DOLLARS:
        problem = f"{shown} is more than a billion dollars; was another unit meant?"
    elif not _is_whole_micros(amount):
        problem = f"{shown} is finer than a millionth of a dollar; keep 6 decimals at most"
    else:
        numerator, denominator = amount.as_integer_ratio()
        return numerator * _MICROS // denominator
    raise InvalidRequest({field: problem})


def _amount(value: object) -> Decimal | None:
    """Return a finite number of dollars, or None when `value` isn't one."""
    if isinstance(value, str):
        match = _FORM.fullmatch(value.strip())
        if match is None or (match[1] and match[2]):
            return None
        return Decimal(match[1] + match[2] + match[3].replace(",", ""))
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        return None
    amount = Decimal(f"{value:.15g}") if isinstance(value, float) else Decimal(value)
    return amount if amount.is_finite() else None


def _is_whole_micros(amount: Decimal) -> bool:
    if amount and amount.adjusted() < -6:  # before a ratio is taken of, say, 1E-999999
        return False
    numerator, denominator = amount.as_integer_ratio()
    return numerator * _MICROS % denominator == 0


def _shown(value: object) -> str:
    """Quote `value`, cut where it is long; Python refuses to write integers of 4,300 digits."""
    if isinstance(value, int) and abs(value) > _MOST_MICROS:
        return "that number"
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"


def _divided(numerator: int, denominator: int) -> int:
    """Return the quotient as a whole number, a half rounded up."""
    return (2 * numerator + denominator) // (2 * denominator)


def _for_reading(micros: int) -> int:
    """Round half up to the last decimal that `_decimals` shows."""
    unit: int = 10 ** (6 - _decimals(micros))
    return _divided(micros, unit) * unit


def _decimals(micros: int) -> int:
    """Return how many decimals show cents, or below a cent two significant digits."""
    if micros == 0 or micros >= _MICROS_PER_CENT:
        return 2
    return min(8 - len(str(micros)), 6)
