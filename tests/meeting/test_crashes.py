"""There is one bid for one submit at the simulated service, whatever is killed when and however late a request acts."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx
import pytest

from flow_adapters.clocks import ManualClock
from flow_adapters.journal import SqliteJournal
from flow_adapters.memory import MemoryLogKeep, SteppedWatch, UnpackedCode
from flow_adapters.node_files import load_node_files
from flow_adapters.vault import HeldVault
from flow_core.domain.record import TaskRecord
from flow_core.domain.shape import parse_shape
from flow_core.domain.task import TaskSpec
from flow_core.errors import Transient
from flow_core.services.ports import Ports
from flow_core.services.reconciling import Reconciling
from flow_core.services.session import Session
from flow_providers.mock.http import troubles
from flow_providers.mock.http.service import in_memory
from flow_providers.mock.http.transport import DoorTransport
from flow_providers.mock.memory_nodes import MemoryNodes
from tests.meeting.site import BIDS, URL, connect, told_shell, trouble, whereabouts
from tests.services.test_placing import Killed, Mortal

#: More journal and HTTP boundaries than a submit crosses (a test shows it).
BOUNDARIES = 25
POLL_S = 10


class MortalWay(httpx.BaseTransport):
    """The way to the service, on which the process dies at one chosen request, before or after it was served."""

    def __init__(
        self, inner: httpx.BaseTransport, is_last: Callable[[], bool], after: bool
    ) -> None:
        self._inner, self._is_last, self._after = inner, is_last, after

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Pass a request on, or die."""
        last = self._is_last()
        if last and not self._after:
            raise Killed(request.url.path)
        response = self._inner.handle_request(request)
        if last:
            raise Killed(request.url.path)
        return response


class Ground:
    """A service and a journal that outlive every process over them."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.nodes = MemoryNodes(self.clock)
        self.service = in_memory(self.clock, host=self.nodes, whereabouts=whereabouts)
        self.journal = SqliteJournal(":memory:")
        self.door = DoorTransport(self.service.handle)
        self.session()  # the user's SSH key is there from here on

    def session(self, transport: httpx.BaseTransport | None = None, journal: Any = None) -> Session:
        """Return what a new process would hold."""
        provider = connect(
            self.service,
            clock=self.clock,
            shell=told_shell(self.nodes),
            transport=transport or self.door,
        )
        return Session(
            Ports(
                provider=provider,
                journal=journal or self.journal,
                clock=self.clock,
                code=UnpackedCode(),
                watch=SteppedWatch(self.clock, lambda: 0),
                chance=random.Random(7),
                node_files=load_node_files(),
                log_keep=MemoryLogKeep(),
                vault=HeldVault({}),
            )
        )

    def live(self) -> list[str]:
        """The ids of the bids that are live at the service, as the service itself counts them."""
        httpx.Client(transport=self.door, base_url=URL).get(
            "/v2/me"
        )  # lets what is late and due take effect
        return self.service.engine.look(
            None, lambda world, _: [row.id for row in world.bids.live()]
        )

    def poll(self, session: Session, seconds: int) -> list[int]:
        """Tick as a watcher does for so long; return how many bids were live before each tick."""
        counts = []
        for _ in range(0, seconds, POLL_S):
            self.clock.advance(seconds=POLL_S)
            counts.append(len(self.live()))
            with suppress(Transient):
                session.watcher.tick()
        return counts


def submit(session: Session) -> TaskRecord:
    """Submit a task that stays, on a type with few markets, whose prices are a request each."""
    shape = parse_shape("8xh200")
    return session.tasks.submit(TaskSpec(command="sleep 86400", name="one", instance_type=shape))


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_any_boundary_leaves_one_bid_or_none(after: bool):
    """A submit killed at any journal call or request ends in one bid that the journal knows, or in no trace."""
    ends = set()
    for boundary in range(1, BOUNDARIES):
        ground = Ground()
        calls = iter(range(1, 10_000))
        dies = lambda calls=calls, boundary=boundary: next(calls) == boundary  # noqa: E731
        with suppress(Killed):
            submit(
                ground.session(
                    MortalWay(ground.door, dies, after), Mortal(ground.journal, dies, after=after)
                )
            )
        heir = ground.session()
        ground.poll(heir, 120)
        records = ground.journal.live()
        ends.add(len(records))

        assert [record.bid_id for record in records] == ground.live(), boundary
        assert len(records) <= 1, boundary
        assert [] == Reconciling(heir.ports).strays(), boundary
    assert {0, 1} == ends


def test_submit_crosses_fewer_boundaries_than_are_tried():
    """A submit makes fewer journal calls and requests than the test above kills at."""
    ground, made = Ground(), []
    counts = lambda: bool(made.append(1))  # noqa: E731
    submit(
        ground.session(
            MortalWay(ground.door, counts, False), Mortal(ground.journal, counts, after=False)
        )
    )

    assert 10 < len(made) < BOUNDARIES


@pytest.mark.parametrize("kind", [troubles.ERROR, troubles.DROP])
@pytest.mark.parametrize("when", [troubles.BEFORE, troubles.AFTER])
def test_lost_answer_ends_in_one_bid(kind: str, when: str):
    """A create that fails, or whose connection is cut, before or after it took effect, ends in one bid."""
    ground = Ground()
    trouble(ground.service, kind=kind, when=when, method="POST", path=BIDS)
    session = ground.session()
    with suppress(Transient):
        submit(session)
    counts = ground.poll(session, 300)

    assert 1 == max(counts)
    assert [ground.journal.find("one").bid_id] == ground.live()


@pytest.mark.parametrize("seconds", [1, 30, 59])
def test_create_under_a_minute_late_makes_no_second_bid(seconds: int):
    """A create that takes effect up to 59 s late is adopted; there are never two bids."""
    ground = Ground()
    trouble(ground.service, kind=troubles.LATE, seconds=seconds, method="POST", path=BIDS)
    session = ground.session()
    with suppress(Transient):
        submit(session)
    counts = ground.poll(session, 900)

    assert 1 == max(counts)
    assert [ground.journal.find("one").bid_id] == ground.live()


class Keyless(httpx.BaseTransport):
    """Takes the idempotency key off every request, as a service does that doesn't know of such keys."""

    def __init__(self, door: httpx.BaseTransport) -> None:
        self._door = door

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Pass it on."""
        request.headers.pop("Idempotency-Key", None)
        return self._door.handle_request(request)


def test_create_five_minutes_late_is_withdrawn_at_the_next_look():
    """Where keys count for nothing, two bids exist for one poll; the younger is withdrawn, and the history says so."""
    ground = Ground()
    trouble(ground.service, kind=troubles.LATE, seconds=300, method="POST", path=BIDS)
    session = ground.session(transport=Keyless(ground.door))
    with suppress(Transient):
        submit(session)
    counts = ground.poll(session, 900)
    said = [event.what for event in session.tasks.history("one")]

    assert 2 == max(counts)
    assert 1 == counts.count(2)
    assert [ground.journal.find("one").bid_id] == ground.live()
    assert 1 == sum("second bid" in what for what in said)
