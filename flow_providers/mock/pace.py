"""How a world's time passes.

In memory it is the clock that was handed in. On disk it runs `rate` times as fast as real time, from an anchor kept in
the world, so that all processes agree on it; and it stands still

- while nothing is live: a month's pause costs nothing, and the first bid afterwards is looked at soon, because the
  time is set to shortly before the next round (nobody was there to see it jump);
- when nobody looked for more than GAP_S real seconds (a laptop asleep, every process killed): the world went on for
  GAP_S and then waited. The watcher looks several times a second, so this never happens while it runs. The price is
  that a command which went on meanwhile was not billed for the rest of the gap.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Protocol

from attrs import evolve

from flow_core.ports.clock import Clock
from flow_providers.mock.codec import micros
from flow_providers.mock.rows import Meta, SegmentRow
from flow_providers.mock.rules import Rules
from flow_providers.mock.world import World

GAP_S = 300.0
#: How often, in real seconds, it is written down that somebody looks.
HEARTBEAT_S = 20.0


class Pace(Protocol):
    """Turns real time into the world's."""

    def now(self, meta: Meta) -> datetime:
        """Return the world's time."""
        ...

    def is_stale(self, world: World) -> bool:
        """Whether `settle` would write something."""
        ...

    def settle(self, world: World) -> None:
        """Start, stop or mend the passing of time, as what is live asks for."""
        ...

    def skip(self, world: World, by: timedelta) -> None:
        """Let `by` of the world's time pass at once, where time is the world's own."""
        ...


class HeldPace:
    """The time of a clock that someone holds; nothing about it is kept in the world."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def now(self, meta: Meta) -> datetime:
        """Return the clock's time."""
        return self._clock.now()

    def is_stale(self, world: World) -> bool:
        """Never: see `Pace.is_stale`."""
        return False

    def settle(self, world: World) -> None:
        """Do nothing: see `Pace.settle`."""

    def skip(self, world: World, by: timedelta) -> None:
        """Do nothing: whoever holds the clock moves it."""


class AnchoredPace:
    """Real time, faster, from the anchor that the world keeps; `always`, whether anything is live or not."""

    def __init__(self, real: Clock, rules: Rules, *, always: bool = False) -> None:
        self._real = real
        self._rules = rules
        self._always = always

    def now(self, meta: Meta) -> datetime:
        """Return the anchor plus what has passed since, at the world's rate, gaps left out."""
        if meta.real_anchor is None or meta.seen_real is None:
            return meta.anchor
        real = min(max(self._real.now(), meta.seen_real), meta.seen_real + timedelta(seconds=GAP_S))
        return meta.anchor + max(real - meta.real_anchor, timedelta(0)) * meta.rate

    def is_stale(self, world: World) -> bool:
        """Whether time must start, stop or be mended, or a heartbeat is due."""
        meta, live = world.meta, self._is_live(world)
        if meta.real_anchor is None or meta.seen_real is None:
            return live
        unseen = (self._real.now() - meta.seen_real).total_seconds()
        return not live or meta.rate != self._rules.rate or not 0 <= unseen <= HEARTBEAT_S

    def settle(self, world: World) -> None:
        """See `Pace.settle`."""
        if not self.is_stale(world):
            return
        meta, real, now = world.meta, self._real.now(), self.now(world.meta)
        if not self._is_live(world):
            self._anchor(world, now, real, is_running=False)
        elif meta.real_anchor is None or meta.seen_real is None:
            rounds = [
                market.clears_at for market in world.markets.live() if market.clears_at is not None
            ]
            lead = timedelta(seconds=self._rules.first_look_s)
            self._anchor(
                world, max([now, *(each - lead for each in rounds)]) if rounds else now, real
            )
        elif (
            meta.rate != self._rules.rate
            or not 0 <= (real - meta.seen_real).total_seconds() <= GAP_S
        ):
            self._anchor(world, now, real)
        else:
            world.metas.put(evolve(meta, seen_real=real))

    def skip(self, world: World, by: timedelta) -> None:
        """See `Pace.skip`."""
        self._anchor(
            world, self.now(world.meta) + by, self._real.now(), is_running=self._is_live(world)
        )

    def _is_live(self, world: World) -> bool:
        return self._always or world.bids.count() > 0

    def _anchor(
        self, world: World, at: datetime, real: datetime, *, is_running: bool = True
    ) -> None:
        rate = self._rules.rate
        segment = f"{world.draw()}"
        world.segments.put(
            SegmentRow(id=segment, number=micros(real), anchor=at, rate=rate if is_running else 0.0)
        )
        running = real if is_running else None
        world.metas.put(
            evolve(
                world.meta,
                anchor=at,
                real_anchor=running,
                seen_real=running,
                rate=rate,
                segment=segment,
            )
        )
