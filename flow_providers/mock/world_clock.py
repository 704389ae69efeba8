"""The clock of a world on disk, and how the real times of its nodes' processes are told on it."""

from __future__ import annotations

from bisect import bisect_right
from datetime import datetime

from flow_core.ports.clock import Clock
from flow_providers.mock.codec import micros, moment
from flow_providers.mock.engine import Engine
from flow_providers.mock.rows import SegmentRow
from flow_providers.mock.rules import Rules
from flow_providers.mock.store import Store

_PER_SECOND = 1_000_000


class WorldClock:
    """Implements `ports.clock.Clock`: the world's time, which stands still while nothing is live."""

    def __init__(self, engine: Engine, real: Clock) -> None:
        self._engine = engine
        self._real = real
        self._last: datetime | None = None

    def now(self) -> datetime:
        """Return the world's time, never earlier than before, whatever another process did meanwhile."""
        now = self._engine.now()
        self._last = now if self._last is None else max(now, self._last)
        return self._last

    def sleep(self, seconds: float) -> None:
        """Return when so many seconds would have passed at the world's pace, whether it stood still or not."""
        self._real.sleep(max(seconds, 0.0) / self._engine.rules.rate)


class WorldTimes:
    """Turns unix seconds into the world's time and back, by the segments in which that passed evenly."""

    def __init__(self, store: Store, rules: Rules) -> None:
        self._store = store
        self._rules = rules
        self._segments: list[SegmentRow] = []

    def simulated(self, unix_s: float) -> datetime:
        """Return what the world's clock showed at `unix_s`."""
        at = round(unix_s * _PER_SECOND)
        segments = self._known()
        place = bisect_right([each.number for each in segments], at) - 1
        if place < 0:
            return segments[0].anchor if segments else moment(at)
        found = micros(segments[place].anchor) + round(
            (at - segments[place].number) * segments[place].rate
        )
        if place + 1 < len(segments):
            found = min(found, micros(segments[place + 1].anchor))
        return moment(found)

    def real(self, at: datetime) -> float:
        """Return when, in unix seconds, the world's clock will show or showed `at`."""
        segments = self._known()
        place = bisect_right([each.anchor for each in segments], at) - 1
        if place < 0:
            return at.timestamp()
        segment = segments[place]
        passed = (micros(at) - micros(segment.anchor)) / (segment.rate or self._rules.rate)
        return (segment.number + passed) / _PER_SECOND

    def _known(self) -> list[SegmentRow]:
        with self._store.reading() as world:
            if not world.is_born:
                return []
            if not self._segments or self._segments[-1].id != world.meta.segment:
                self._segments = world.segments.all()
            return self._segments
