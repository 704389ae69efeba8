"""Time as things you hold: the machine's, one that tests move, and one that runs faster than life.

The only file that asks the machine for the time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

from flow_core.errors import InvalidRequest
from flow_core.ports.clock import Clock

#: time.sleep overflows somewhere beyond; longer waits are made of these.
_LONGEST_SLEEP_S = 86_400.0
#: How often one stepper may be due again at the same instant before it counts as stuck.
STEPS_AT_ONE_INSTANT = 1_000
#: Where a ManualClock starts unless told otherwise.
MANUAL_START = datetime(2026, 1, 1, tzinfo=timezone.utc)

NextDue = Callable[[], "datetime | None"]
Step = Callable[[], None]


def _wall() -> datetime:
    return datetime.now(timezone.utc)


class SystemClock:
    """The machine's own time. When the machine's clock is set back, it runs on from where it was."""

    def __init__(
        self,
        *,
        wall: Callable[[], datetime] = _wall,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._last: tuple[datetime, float] | None = None

    def now(self) -> datetime:
        """Return the time in UTC, never earlier than this clock returned before."""
        with self._lock:
            at, ticks = self._wall(), self._monotonic()
            if self._last is not None and at < self._last[0]:
                at = self._last[0] + timedelta(seconds=max(0.0, ticks - self._last[1]))
            self._last = (at, ticks)
            return at

    def sleep(self, seconds: float) -> None:
        """Return when `seconds` have passed."""
        while seconds > 0:
            time.sleep(min(seconds, _LONGEST_SLEEP_S))
            seconds -= _LONGEST_SLEEP_S


class ManualClock:
    """Time that stands still until someone sleeps or moves it: three days pass in no time.

    What has to happen on the way, such as a market's rounds, is told to it as *steppers*; moving the time visits each
    of their due times in order. A sleep inside a step moves the time on without stepping anyone; whoever became due
    meanwhile is stepped as soon as that step has returned.
    """

    def __init__(self, start: datetime = MANUAL_START) -> None:
        if start.tzinfo is None:
            raise InvalidRequest({"start": f"{start} has no time zone; clocks tell UTC"})
        self._now = start.astimezone(timezone.utc)
        self._steppers: list[tuple[NextDue, Step]] = []
        self._is_stepping = False

    def now(self) -> datetime:
        """Return where the time stands."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Move the time by `seconds`, and let happen what is due until then; zero or less does nothing."""
        if seconds > 0:
            self.advance(seconds=seconds)

    def advance(
        self,
        by: timedelta = timedelta(0),
        *,
        days: float = 0,
        hours: float = 0,
        minutes: float = 0,
        seconds: float = 0,
    ) -> None:
        """Move the time on by the sum of what is given, through every due time on the way.

        What is due already is stepped first; `advance()` alone does just that.

        Raises:
            InvalidRequest: the sum is negative: time only moves on.
            RuntimeError: a stepper stays due at one instant however often it is stepped.
        """
        span = by + timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        if span < timedelta(0):
            raise InvalidRequest({"advance": f"{span} would move the time back; it only moves on"})
        target = self._now + span
        if self._is_stepping:
            self._now = target
            return
        self._is_stepping = True
        try:
            self._step_until(target)
        finally:
            self._is_stepping = False
        self._now = max(self._now, target)

    def add_stepper(self, next_due: NextDue, step: Step) -> Callable[[], None]:
        """Have `step` called whenever the time reaches what `next_due` says, and return what undoes this.

        `next_due` is asked anew after every step; None means that nothing is planned. Of several that are due at one
        instant, the one added first goes first.
        """
        stepper = (next_due, step)
        self._steppers.append(stepper)

        def remove() -> None:
            if stepper in self._steppers:
                self._steppers.remove(stepper)

        return remove

    def _step_until(self, target: datetime) -> None:
        instant, steps = self._now, 0
        while True:
            due, step = self._earliest()
            if due is None or due > max(target, self._now):
                return
            self._now = max(self._now, due)
            if self._now > instant:
                instant, steps = self._now, 0
            steps += 1
            if steps > STEPS_AT_ONE_INSTANT * len(self._steppers):
                raise RuntimeError(
                    f"{getattr(step, '__qualname__', step)} is due at {due} after {steps - 1:,} steps at "
                    f"{instant}; a step must move its next due time on, or make it None"
                )
            step()

    def _earliest(self) -> tuple[datetime | None, Step]:
        due: datetime | None = None
        found: Step = _nothing
        for next_due, step in self._steppers:
            at = next_due()
            if at is not None and (due is None or at < due):
                due, found = at, step
        return due, found


class PacedClock:
    """A clock that shows `anchor` when `real` shows `real_anchor`, and runs `rate` times as fast."""

    def __init__(
        self, real: Clock, *, rate: float, real_anchor: datetime, anchor: datetime
    ) -> None:
        if not 0 < rate < float("inf"):
            raise InvalidRequest({"rate": f"{rate} is no pace; it must be more than nothing"})
        self._real = real
        self._real_anchor = real_anchor
        self._anchor = anchor
        self.rate = rate

    def now(self) -> datetime:
        """Return the paced time in UTC."""
        return self._anchor + (self._real.now() - self._real_anchor) * self.rate

    def sleep(self, seconds: float) -> None:
        """Return when `seconds` of this clock have passed: `seconds / rate` real ones."""
        self._real.sleep(seconds / self.rate)


def _nothing() -> None:
    """Do nothing."""
