"""A world in a file: shared, whole, cheap to look at, and standing still while nothing is live."""

from __future__ import annotations

import sqlite3
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from attrs import evolve

from flow_adapters.clocks import ManualClock
from flow_core.domain.bid import BidState
from flow_core.errors import Misconfigured, PriceTooLow
from flow_core.ports.provider import Limits
from flow_providers.mock.engine import Engine
from flow_providers.mock.memory_nodes import MemoryNodes
from flow_providers.mock.memory_shell import MemoryShell
from flow_providers.mock.pace import GAP_S, AnchoredPace
from flow_providers.mock.provide import provider
from flow_providers.mock.rules import IN_MEMORY, Mood, Rules
from flow_providers.mock.sqlite_store import SqliteStore
from flow_providers.mock.world import World
from flow_providers.mock.world_clock import WorldClock, WorldTimes
from tests.mock.bidders import bid, cloud, market, price, state

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


class Door:
    """One process's way into a world on disk; its nodes last as long as the door."""

    def __init__(self, path: Path, real: ManualClock, *, rate: float = 60.0) -> None:
        self.rules: Rules = evolve(IN_MEMORY, rate=rate, mood=Mood.QUIET)
        self.store = SqliteStore(path)
        nodes = MemoryNodes(real)
        self.engine = Engine(
            self.store,
            nodes,
            pace=AnchoredPace(real, self.rules),
            rules=self.rules,
            seed=lambda: "s",
            born_at=real.now,
            markets=(market(),),
        )
        self.clock = WorldClock(self.engine, real)
        self.provider = provider(
            self.engine, shell=MemoryShell(nodes), clock=self.clock, limits=Limits(simulated=True)
        )
        self.times = WorldTimes(self.store, self.rules)


def placed(door: Door, name: str = "a", limit: str = "5") -> str:
    """Place a bid through this door, and return its id."""
    return bid(door, name, limit).id


def states(door: Door) -> list[BidState]:
    """Return the states of the world's live bids."""
    return door.engine.look(None, lambda world, _: [each.state for each in world.bids.live()])


def test_two_clouds_over_one_file_see_the_same(tmp_path: Path):
    """What one writes the other reads; ended bids are found by id and name, without being kept at hand."""
    path = tmp_path / "deep" / "world.sqlite"
    one, other = (cloud(store=SqliteStore(path)) for _ in range(2))
    first = bid(one, "a", "5")
    one.clock.advance(minutes=3)
    other.clock.advance(minutes=3)
    other.provider.market.withdraw(first.id)
    bid(other, "b", "5")

    assert BidState.TERMINATED is state(one, first)
    assert ["b", "a"] == [each.name for each in one.provider.market.bids()]
    assert [first.id] == [each.id for each in one.provider.market.bids(name="a")]
    assert 1 == one.engine.look(None, lambda world, _: world.bids.count())
    assert one.ledger() == other.ledger()


def test_refusal_writes_nothing_and_an_error_takes_everything_back(tmp_path: Path):
    """A bid under the floor leaves the file as it was; so does a fault of the program in the middle of a turn."""
    pretend = cloud(store=SqliteStore(tmp_path / "w"))

    def broken(world: World, now: datetime) -> None:
        world.bids.drop(world.bids.live()[0].id)
        raise ZeroDivisionError

    bid(pretend, "a", "5")
    with pytest.raises(PriceTooLow):
        bid(pretend, "b", "0.01")
    with pytest.raises(ZeroDivisionError):
        pretend.engine.change(None, broken)
    assert ["a"] == [each.name for each in pretend.provider.market.bids()]


def test_looking_writes_nothing_while_nothing_is_due(tmp_path: Path):
    """A thousand looks at a waiting world leave its file's version as it was."""
    pretend = cloud(store=SqliteStore(tmp_path / "w"))
    placed = bid(pretend, "a", "5")
    pretend.clock.advance(minutes=3)
    with sqlite3.connect(tmp_path / "w") as connection:
        before = connection.execute("SELECT number FROM version").fetchone()
        for _ in range(200):
            state(pretend, placed)
            price(pretend)
            pretend.provider.fleet.allocations([placed.id])
            pretend.provider.usage.usage([placed.id])
            pretend.provider.logs.reports([placed.id])
        after = connection.execute("SELECT number FROM version").fetchone()

    assert before == after


def test_world_stands_still_while_nothing_is_live(tmp_path: Path):
    """A month without a bid passes no time; the first bid afterwards is looked at within a real second."""
    real = ManualClock(NOON)
    door = Door(tmp_path / "w", real)
    born = door.clock.now()
    real.advance(days=30)
    still = door.clock.now()
    placed(door)
    real.advance(seconds=0.25)
    door.engine.catch_up()

    assert born == still
    assert [BidState.ALLOCATED] == states(door)


def test_time_runs_at_the_rate_while_something_is_live_and_stops_after(tmp_path: Path):
    """Ten real seconds are ten simulated minutes; when the last bid ends, time stands."""
    real = ManualClock(NOON)
    door = Door(tmp_path / "w", real)
    bid_id = placed(door)
    began = door.clock.now()
    real.advance(seconds=10)
    ran = door.clock.now() - began
    door.provider.market.withdraw(bid_id)
    ended = door.clock.now()
    real.advance(hours=5)

    assert timedelta(minutes=10) == ran
    assert ended == door.clock.now()


def test_gap_in_which_nobody_looked_is_left_out(tmp_path: Path):
    """After a night asleep the world has gone on for the first five real minutes only, and goes on from there."""
    real = ManualClock(NOON)
    door = Door(tmp_path / "w", real)
    placed(door)
    began = door.clock.now()
    real.advance(hours=8)
    woken = door.clock.now()
    door.engine.catch_up()
    real.advance(seconds=1)

    assert timedelta(seconds=GAP_S * 60) == woken - began
    assert timedelta(minutes=1) == door.clock.now() - woken


def test_regular_looks_keep_the_time_exact(tmp_path: Path):
    """However often somebody looks, an hour's work is an hour at the rate: heartbeats move no anchor."""
    real = ManualClock(NOON)
    door, other = Door(tmp_path / "w", real), Door(tmp_path / "w", real)
    placed(door)
    began = door.clock.now()
    for _ in range(3600):
        real.advance(seconds=1)
        other.engine.catch_up()

    assert timedelta(hours=60) == door.clock.now() - began == other.clock.now() - began


def test_clock_set_back_never_turns_the_world_back(tmp_path: Path):
    """When the machine's clock falls back, the world stands for a moment and then goes on from where it was."""

    class Settable:
        at = NOON

        def now(self) -> datetime:
            return self.at

        def sleep(self, seconds: float) -> None:
            self.at += timedelta(seconds=seconds)

    real = Settable()
    door = Door(tmp_path / "w", real)  # type: ignore[arg-type]
    placed(door)
    real.sleep(10)
    before = door.clock.now()
    real.sleep(-3600)
    after = door.clock.now()
    door.engine.catch_up()
    real.sleep(20)

    assert before == after
    assert after < door.clock.now()


def test_real_times_are_told_on_the_worlds_clock_across_pauses(tmp_path: Path):
    """A process that started in an earlier stretch keeps its simulated start, and deadlines map back to real ones."""
    real = ManualClock(NOON)
    door = Door(tmp_path / "w", real)
    first = placed(door)
    real.advance(seconds=5)
    real_then, simulated_then = real.now().timestamp(), door.clock.now()
    door.provider.market.withdraw(first)
    real.advance(days=1)
    placed(door, "b")
    real.advance(seconds=5)
    soon = door.clock.now() + timedelta(minutes=5)

    assert abs(door.times.simulated(real_then) - simulated_then) < timedelta(milliseconds=1)
    assert abs(door.times.simulated(real.now().timestamp()) - door.clock.now()) < timedelta(
        milliseconds=1
    )
    assert abs(door.times.real(soon) - real.now().timestamp() - 5) < 0.001


def test_another_rate_takes_over_without_a_jump(tmp_path: Path):
    """A command that asks for another rate changes the pace from its look on, not the time."""
    real = ManualClock(NOON)
    door, fast = Door(tmp_path / "w", real), Door(tmp_path / "w", real, rate=600.0)
    placed(door)
    real.advance(seconds=1)
    before = door.clock.now()
    fast.engine.catch_up()
    same = door.clock.now()
    real.advance(seconds=1)

    assert before == same
    assert timedelta(seconds=600) == fast.clock.now() - same


def test_file_of_another_kind_is_refused_by_name(tmp_path: Path):
    """A file that is no world, or one of another format, is named, and what to do."""
    torn, newer = tmp_path / "torn", tmp_path / "newer"
    torn.write_bytes(b"not a database at all, but long enough to be taken for one" * 100)
    with sqlite3.connect(newer) as connection:
        connection.execute("PRAGMA user_version = 99")

    for path in (torn, newer):
        with pytest.raises(Misconfigured, match=path.name):
            cloud(store=SqliteStore(path))


def test_wiped_world_begins_anew(tmp_path: Path):
    """After a reset nothing of the old world is found, by any process."""
    one, other = (cloud(store=SqliteStore(tmp_path / "w")) for _ in range(2))
    bid(one, "a", "5")
    one.engine.wipe()

    assert [] == other.provider.market.bids()
    assert "$1.00" == price(one)
