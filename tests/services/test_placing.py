"""There is one bid for one submit, whatever is killed when."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from flow_adapters.journal import SqliteJournal
from flow_adapters.memory import MemoryLogKeep, SteppedWatch, UnpackedCode
from flow_adapters.node_files import load_node_files
from flow_adapters.packing import TarCodeStore
from flow_adapters.vault import HeldVault
from flow_core.domain.names import split_wire_name
from flow_core.domain.record import Step
from flow_core.domain.script import parse_script
from flow_core.domain.status import TaskState
from flow_core.domain.task import TaskSpec
from flow_core.errors import NameTaken, QuotaExceeded, Transient
from flow_core.services.placing import script_of
from flow_core.services.ports import Ports
from flow_core.services.session import Session
from flow_providers.mock import PretendCloud
from flow_providers.mock.rules import IN_MEMORY, SameName

#: More boundaries than a submit crosses (a test shows it).
BOUNDARIES = 20
HOUR = timedelta(hours=1)


class Killed(BaseException):
    """The process dies here."""


class Mortal:
    """Stands before a port and kills its process at one chosen call, before or after the call took effect."""

    def __init__(self, port: object, calls: Callable[[], bool], *, after: bool) -> None:
        self._port = port
        self._is_last = calls
        self._after = after

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)

        def call(*args: object, **kwargs: object) -> object:
            last = self._is_last()
            if last and not self._after:
                raise Killed(name)
            result = found(*args, **kwargs)
            if last:
                raise Killed(name)
            return result

        return call


def session_over(cloud: PretendCloud, journal: object, market: object | None = None) -> Session:
    """Return a session as a new process would make it, over a cloud and a journal that outlive it."""
    provider = cloud.provider if market is None else evolve(cloud.provider, market=market)
    watch = SteppedWatch(cloud.clock, lambda: 0)
    return Session(
        Ports(
            provider=provider,
            journal=journal,  # type: ignore[arg-type]
            clock=cloud.clock,
            code=UnpackedCode(),
            watch=watch,
            chance=random.Random(7),
            node_files=load_node_files(),
            log_keep=MemoryLogKeep(),
            vault=HeldVault({}),
        )
    )


def spec(**changes: object) -> TaskSpec:
    """Return a task that asks for little."""
    return TaskSpec(command="true", name="one", **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("size", "about", "machines", "rides"),
    [
        (2_000, {}, True, True), (2_000, {}, False, False), (5_000, {}, True, False),
        (10, {"num_instances": 2}, True, False), (10, {"idle_timeout": HOUR}, True, False),
    ],
)  # fmt: skip
def test_small_code_rides_in_the_script(
    tmp_path: Path, size: int, about: dict[str, Any], machines: bool, rides: bool
):
    """Code that fits is in a machine's script, waited for by nobody; more, or with more to bring, it is delivered."""
    cloud = PretendCloud()
    limits = evolve(
        cloud.provider.limits,
        script_chars=10_000,
        script_is_private=True,
        images_by_kit=machines,
    )
    cloud.provider = evolve(cloud.provider, limits=limits)
    session = session_over(cloud, SqliteJournal(":memory:"))
    session.ports = evolve(session.ports, code=TarCodeStore(tmp_path / "store"))
    (tmp_path / "code").mkdir()
    content = random.Random(1).randbytes(size)
    (tmp_path / "code" / "file").write_bytes(content)

    record = session.tasks.submit(spec(code=str(tmp_path / "code"), **about))
    script = script_of(session.ports, record)
    task = parse_script(script)

    assert rides == (content in task.code) == (not task.wants_delivery)
    assert len(script) <= 10_000


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("boundary", range(1, BOUNDARIES))
def test_killed_at_any_boundary_leaves_one_bid_or_none(boundary: int, after: bool):
    """A submit killed at any call to journal or market ends, after the next tick, in one bid or in no trace."""
    cloud, journal = PretendCloud(), SqliteJournal(":memory:")
    calls = iter(range(1, 1_000))
    dies = lambda: next(calls) == boundary  # noqa: E731
    mortal = session_over(
        cloud,
        Mortal(journal, dies, after=after),
        Mortal(cloud.provider.market, dies, after=after),
    )
    with suppress(Killed):
        mortal.tasks.submit(spec())

    heir = session_over(cloud, journal)
    heir.watcher.tick()

    bids = cloud.provider.market.bids()
    records = journal.live()
    assert len(bids) == len(records) <= 1
    assert [record.bid_id for record in records] == [bid.id for bid in bids]
    assert all(split_wire_name(bid.name) == ("one", records[0].token) for bid in bids)


def test_a_submit_crosses_fewer_boundaries_than_are_tried():
    """The boundaries above are all there are: a submit makes fewer calls to journal and market."""
    cloud, made = PretendCloud(), []
    counts = lambda: bool(made.append(1))  # noqa: E731
    session = session_over(
        cloud,
        Mortal(SqliteJournal(":memory:"), counts, after=False),
        Mortal(cloud.provider.market, counts, after=False),
    )

    session.tasks.submit(spec())

    assert 5 < len(made) < BOUNDARIES


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_silence_is_looked_into(after: bool):
    """A create whose answer is lost ends in one bid, whether or not it took effect."""
    cloud = PretendCloud()
    session = session_over(cloud, SqliteJournal(":memory:"))
    cloud.fail_next("place", after=after)

    record = session.tasks.submit(spec())

    assert Step.PLACED is record.step
    assert [record.bid_id] == [bid.id for bid in cloud.provider.market.bids()]


def test_long_silence_is_left_to_the_watcher():
    """A provider that stays silent makes submit say so; the task is placed once it answers."""
    cloud, journal = PretendCloud(), SqliteJournal(":memory:")
    session = session_over(cloud, journal)
    cloud.fail_next("place", times=100)

    with pytest.raises(Transient, match="has not confirmed it"):
        session.tasks.submit(spec())

    assert [] == list(cloud.provider.market.bids())
    assert TaskState.PENDING is session.tasks.view("one").state
    for _ in range(100):
        session.watcher.tick()
    assert 1 == len(cloud.provider.market.bids())


def test_a_lagging_listing_makes_no_double():
    """While listings may lag, a bid that isn't listed is not placed again."""
    cloud, journal = PretendCloud(), SqliteJournal(":memory:")
    lagging = evolve(cloud.provider, limits=evolve(cloud.provider.limits, listing_lag_s=60.0))
    session = session_over(cloud, journal)
    session.ports = evolve(session.ports, provider=lagging)
    cloud.lag_listing(45)
    cloud.fail_next("place", after=True)

    with pytest.raises(Transient):
        session.tasks.submit(spec())
    for _ in range(30):
        cloud.clock.advance(seconds=5)
        session.watcher.tick()

    assert 1 == len(cloud.provider.market.bids(name=journal.find("one").wire_name))
    assert Step.PLACED is journal.find("one").step


def test_a_refusal_leaves_nothing():
    """A bid that the provider refuses is told, and nothing live is left behind."""
    cloud, journal = PretendCloud(), SqliteJournal(":memory:")
    session = session_over(cloud, journal)
    cloud.refuse_for_quota()

    with pytest.raises(QuotaExceeded):
        session.tasks.submit(spec())

    assert [] == list(journal.live())
    assert [] == list(cloud.provider.market.bids(live=True))


def test_a_name_is_taken_once():
    """A second live task of the same name is refused, and the first goes on."""
    cloud, journal = PretendCloud(), SqliteJournal(":memory:")
    session = session_over(cloud, journal)
    session.tasks.submit(spec())

    with pytest.raises(NameTaken, match="'one'"):
        session.tasks.submit(spec())

    assert 1 == len(cloud.provider.market.bids(live=True))


def test_an_ended_tasks_name_is_free_again():
    """A name can be used again once the task that had it has ended and is released."""
    cloud, journal = PretendCloud(), SqliteJournal(":memory:")
    session = session_over(cloud, journal)
    session.tasks.submit(spec())
    session.tasks.cancel("one")
    session.watcher.tick()

    second = session.tasks.submit(spec())

    assert second.token == journal.find("one").token


def test_a_double_that_comes_late_is_withdrawn_at_the_next_tick():
    """A second bid of a task's name, placed by minutes late, is withdrawn and told in the task's history."""
    cloud = PretendCloud(rules=evolve(IN_MEMORY, same_name=SameName.ANOTHER))
    session = session_over(cloud, SqliteJournal(":memory:"))
    market = Sent(cloud.provider.market)
    session.ports = evolve(session.ports, provider=evolve(cloud.provider, market=market))
    record = session.tasks.submit(spec())
    cloud.clock.advance(minutes=1)
    market.place(market.sent[0])
    session.watcher.tick()

    assert [record.bid_id] == [bid.id for bid in cloud.provider.market.bids(live=True)]
    assert any("second bid" in event.what for event in session.tasks.history("one"))


class Sent:
    """A market that remembers what was placed."""

    def __init__(self, market: object) -> None:
        self._market = market
        self.sent: list[Any] = []

    def place(self, request: Any) -> Any:
        """Place a bid, whatever was placed before."""
        self.sent.append(request)
        return self._market.place(request)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._market, name)
