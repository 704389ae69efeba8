"""The time, held and passed on, never looked up."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Tells the time and lets it pass."""

    def now(self) -> datetime:
        """Return the time, aware, in UTC; never earlier than it returned before."""
        ...

    def sleep(self, seconds: float) -> None:
        """Return when `seconds` of this clock have passed; at once for zero or less."""
        ...
