"""The simulator put together: a world, its engine and its door; in memory, or in a folder that outlives a restart.

Rules differ from the in-process pretend cloud's in one thing: a second bid of the same name is a second bid, so a
client that repeats a create without an idempotency key sees what that costs.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from attrs import evolve

from flow_adapters.clocks import ManualClock
from flow_core.ports.clock import Clock
from flow_providers.mock.birth import drawn_seed
from flow_providers.mock.control import Control
from flow_providers.mock.engine import Engine
from flow_providers.mock.estate import people
from flow_providers.mock.http.calls import Policies, Whereabouts, nowhere
from flow_providers.mock.http.door import Door
from flow_providers.mock.http.messages import Request, Response
from flow_providers.mock.http.sim_api import ControlApi
from flow_providers.mock.memory_nodes import MemoryNodes
from flow_providers.mock.nodes import NodeHost
from flow_providers.mock.pace import AnchoredPace, HeldPace, Pace
from flow_providers.mock.prices import MARKETS, MarketOnOffer
from flow_providers.mock.rules import IN_MEMORY, Mood, Rules, SameName
from flow_providers.mock.sqlite_store import SqliteStore
from flow_providers.mock.store import MemoryStore, Store

#: What the server plays by: other bidders are about, and notices last as long as documented.
SERVED = Rules(notice_min_real_s=0.0, same_name=SameName.ANOTHER)


class Service:
    """A pretend Mithril; `handle` is its whole API."""

    def __init__(self, engine: Engine, door: Door) -> None:
        self.engine = engine
        self.door = door
        self.control = Control(engine)

    def handle(self, request: Request) -> Response:
        """Return the reply to a request."""
        return self.door.handle(request)

    @property
    def api_key(self) -> str:
        """The key that the world was born with; a world that wasn't born yet is born now."""
        self.engine.now()
        return self.engine.look(None, lambda world, _: people.first_secret(world))

    @property
    def project(self) -> str:
        """The id of the project that the world was born with."""
        self.engine.now()
        return self.engine.look(None, lambda world, _: world.meta.project)


def in_memory(
    clock: ManualClock,
    *,
    rules: Rules = IN_MEMORY,
    seed: int = 0,
    markets: Sequence[MarketOnOffer] = MARKETS,
    host: NodeHost | None = None,
    store: Store | None = None,
    policies: Policies | None = None,
    whereabouts: Whereabouts = nowhere,
    control_token: str | None = None,
) -> Service:
    """Return a service under a clock that somebody holds; whatever is due happens as the clock passes it."""
    engine = Engine(
        store if store is not None else MemoryStore(),
        host if host is not None else MemoryNodes(clock),
        pace=HeldPace(clock),
        rules=evolve(rules, same_name=SameName.ANOTHER) if rules is IN_MEMORY else rules,
        seed=lambda: str(seed),
        born_at=clock.now,
        markets=markets,
    )
    clock.add_stepper(engine.next_event_at, engine.catch_up)
    control = (
        None
        if control_token is None
        else ControlApi(engine, token=control_token, advance=clock.advance)
    )
    door = Door(engine, policies=policies, whereabouts=whereabouts, control=control)
    return Service(engine, door)


def on_disk(
    folder: Path,
    clock: Clock,
    *,
    rate: float,
    mood: Mood = Mood.CALM,
    seed: int | None = None,
    markets: Sequence[MarketOnOffer] = MARKETS,
    host: NodeHost | None = None,
    policies: Policies | None = None,
    whereabouts: Whereabouts = nowhere,
    control_token: str | None = None,
) -> Service:
    """Return the service whose world lies in `folder`; `seed` counts only when that world begins."""
    rules = evolve(SERVED, rate=rate, mood=mood)
    store = SqliteStore(folder / "world.sqlite")
    pace = AnchoredPace(clock, rules, always=True)
    engine = Engine(
        store,
        host if host is not None else MemoryNodes(_TurnClock(store, pace, clock)),
        pace=pace,
        rules=rules,
        seed=lambda: drawn_seed(random.SystemRandom()) if seed is None else str(seed),
        born_at=clock.now,
        markets=markets,
    )
    control = None if control_token is None else ControlApi(engine, token=control_token)
    door = Door(engine, policies=policies, whereabouts=whereabouts, control=control)
    return Service(engine, door)


class _TurnClock:
    """The time of a world, for nodes that live in memory: it can be asked inside a turn too."""

    def __init__(self, store: Store, pace: Pace, real: Clock) -> None:
        self._store = store
        self._pace = pace
        self._real = real

    def now(self) -> datetime:
        with self._store.reading() as world:
            return self._pace.now(world.meta) if world.is_born else self._real.now()

    def sleep(self, seconds: float) -> None:
        self._real.sleep(seconds)
