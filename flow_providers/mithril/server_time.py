"""Mithril's time, told from the Date header of its answers.

An answer dated d was made while the server's clock stood within [d, d + 1 s), and at a moment between sending and
hearing. Each answer so bounds how far the server is from this machine; bounds that agree are narrowed together, and one
that contradicts them (a clock was set, or the server's time runs at another pace) replaces them. Where no difference
is possible there is none: two machines with right clocks agree. Otherwise the latest time that can be is told, so that
nothing an answer holds lies in the future.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta

from flow_adapters.http_reading import http_date
from flow_core.errors import FlowError
from flow_core.ports.clock import Clock

_ZERO = timedelta(0)
_TICK = timedelta(seconds=1)


class ServerClock:
    """Implements `ports.clock.Clock`: this machine's clock, corrected by what the server says."""

    def __init__(self, local: Clock) -> None:
        self._local = local
        self._lock = threading.Lock()
        self._bounds: tuple[timedelta, timedelta] | None = None
        self._last: datetime | None = None
        self._ask: Callable[[], object] | None = None

    def ask_with(self, ask: Callable[[], object]) -> None:
        """Use `ask` to hear from the server, once, if the time is wanted before any answer came."""
        self._ask = ask

    def now(self) -> datetime:
        """See `Clock.now`; this machine's own time as long as the server can't be reached."""
        self._hear_once()
        with self._lock:
            at = self._local.now() + self._offset()
            if self._last is not None and at < self._last:
                at = self._last
            self._last = at
            return at

    def sleep(self, seconds: float) -> None:
        """See `Clock.sleep`."""
        self._local.sleep(seconds)

    def heard(self, date: str | None, sent: datetime, received: datetime) -> None:
        """Learn from an answer's Date header; `sent` and `received` are on this machine's clock."""
        at = http_date(date or "")
        if at is None:
            return
        low, high = at - received, at + _TICK - sent
        with self._lock:
            if self._bounds is not None:
                narrowed = max(low, self._bounds[0]), min(high, self._bounds[1])
                if narrowed[0] <= narrowed[1]:
                    low, high = narrowed
            self._bounds = low, high

    def _offset(self) -> timedelta:
        if self._bounds is None:
            return _ZERO
        low, high = self._bounds
        return _ZERO if low <= _ZERO <= high else high

    def _hear_once(self) -> None:
        ask, self._ask = self._ask, None
        if ask is None or self._bounds is not None:
            return
        try:
            ask()
        except FlowError:
            return
