"""Ports that lead to a task's node for as long as it lives, under virtual time; the ports themselves are pretended."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

import pytest
from attrs import evolve

import flow
from flow_adapters.clocks import ManualClock
from flow_adapters.wiring import connect_in_memory
from flow_core.domain.allocation import Node
from flow_core.errors import Conflict, NodeUnreachable, NotFound, TaskFailed
from flow_core.ports.shell import RemoteShell
from flow_core.services.session import Session
from flow_core.services.tunnels import Away, Opened, TunnelEvent, Tunnels
from flow_providers.mock import PretendCloud

FREE = 40_001


class Doors(RemoteShell):
    """A shell whose forwarded ports are only written down."""

    def __init__(self, shell: RemoteShell) -> None:
        self._shell = shell
        self.run_many, self.upload, self.attach = shell.run_many, shell.upload, shell.attach
        self.open: list[tuple[str, int, int]] = []
        self.taken: set[int] = set()
        self.deaf = 0

    @contextmanager
    def forward(self, node: Node, port: int, *, local_port: int = 0) -> Iterator[int]:
        """Write down that the port is open."""
        if self.deaf:
            self.deaf -= 1
            raise NodeUnreachable("no answer from 10.0.0.1:22")
        if local_port in self.taken:
            raise Conflict(f"port {local_port} of this machine is taken")
        entry = (node.id, port, local_port or FREE)
        self.open.append(entry)
        try:
            yield entry[2]
        finally:
            self.open.remove(entry)


@pytest.fixture
def doors(pretend_cloud: PretendCloud) -> Doors:
    """The pretended ports."""
    return Doors(pretend_cloud.provider.shell)


@pytest.fixture
def session(pretend_cloud: PretendCloud, doors: Doors) -> Session:
    """A session whose nodes have these ports."""
    pretend_cloud.provider = evolve(pretend_cloud.provider, shell=doors)
    pretend_cloud.on("serve", takes="10h")
    return connect_in_memory(pretend_cloud)


def begun(session: Session, **options: object) -> str:
    """The name of a task that serves something."""
    return flow.run("serve", name="box", session=session, **options).name  # type: ignore[arg-type]


def first_opened(events: Iterator[TunnelEvent]) -> Opened:
    """The next event that is no `Away`."""
    return next(event for event in events if isinstance(event, Opened))


def test_a_port_leads_to_a_task_that_comes_up(session: Session, doors: Doors):
    """While the task has no nodes the reason is said; then the port opens, once."""
    events = Tunnels(session.ports).hold(begun(session), 8888)
    first = next(events)
    opened = first_opened(events)

    assert isinstance(first, Away)
    assert "'box' is" in first.reason
    assert (8888, FREE) == (opened.port, opened.local_port)
    assert [(opened.node.id, 8888, FREE)] == doors.open
    events.close()
    assert [] == doors.open


def test_a_preemption_is_told_and_the_same_port_opens_again(
    pretend_cloud: PretendCloud, session: Session, doors: Doors
):
    """The link that a person holds stays good: the local port is the same before and after."""
    events = Tunnels(session.ports).hold(begun(session), 8888)
    before = first_opened(events)
    pretend_cloud.outbid("box", lasts="30m")
    away = next(events)

    assert isinstance(away, Away)
    assert "preempted" in away.reason
    assert [] == doors.open
    after = first_opened(events)
    assert before.local_port == after.local_port
    assert 1 == len(doors.open)


def test_the_end_of_the_task_is_the_end(session: Session, doors: Doors):
    """Nothing stays open, and nothing waits for a task that will not come back."""
    name = begun(session)
    events = Tunnels(session.ports).hold(name, 8888)
    first_opened(events)
    session.tasks.cancel(name)

    assert 0 == sum(isinstance(event, Opened) for event in events)
    assert [] == doors.open


def test_an_ended_task_has_no_ports(session: Session):
    """It is said at once, with what to look at."""
    name = begun(session)
    session.tasks.cancel(name)

    with pytest.raises(Conflict, match="'box' has ended"):
        next(Tunnels(session.ports).hold(name, 8888))


def test_a_rank_that_is_none_is_told(session: Session):
    """It would never come, so nobody waits for it."""
    with pytest.raises(NotFound, match="has no node 3"):
        next(Tunnels(session.ports).hold(begun(session), 8888, rank=3))


def test_a_taken_port_is_refused_at_once(session: Session, doors: Doors):
    """A port that this machine won't give is a mistake to be told of, not to be waited for."""
    doors.taken = {9000}
    events = Tunnels(session.ports).hold(begun(session), 8888, local_port=9000)

    with pytest.raises(Conflict, match="9000"):
        first_opened(events)


def test_a_port_that_was_ours_is_waited_for(
    pretend_cloud: PretendCloud, session: Session, doors: Doors
):
    """Somebody who took it between two openings gives it back, or the person leaves."""
    events = Tunnels(session.ports).hold(begun(session), 8888, local_port=9000)
    first_opened(events)
    doors.taken = {9000}
    pretend_cloud.outbid("box", lasts="10m")
    away = (event for event in events if isinstance(event, Away))

    assert any("port 9000" in each.reason for each in islice(away, 5))
    doors.taken = set()
    assert 9000 == first_opened(events).local_port


def test_a_silent_node_is_asked_again(session: Session, doors: Doors):
    """The node that gave no answer comes with the reason, so that a changed host key can be asked about."""
    doors.deaf = 2
    said = []
    events = Tunnels(session.ports).hold(begun(session), 8888)
    for event in events:
        if isinstance(event, Opened):
            break
        said.append(event)

    assert "no answer from 10.0.0.1:22" == said[-1].reason
    assert said[-1].node is not None
    assert 0 == doors.deaf


def test_a_server_that_moved_is_followed(session: Session, doors: Doors, clock: ManualClock):
    """Who tells the port is asked at each look; where it says another, the same local port leads there."""
    ports = iter([7001, 7001, 7001, 7002])
    events = Tunnels(session.ports).hold(begun(session), lambda node: next(ports, 7002))
    first, second = first_opened(events), first_opened(events)

    assert (7001, 7002) == (first.port, second.port)
    assert first.local_port == second.local_port
    assert [(second.node.id, 7002, FREE)] == doors.open


def test_what_tells_the_port_may_fail_for_good(session: Session, doors: Doors):
    """A server that can't be started is told, with nothing left open."""

    def no_server(node: Node) -> int:
        raise TaskFailed("JupyterLab doesn't start", exit_code=1)

    with pytest.raises(TaskFailed, match="doesn't start"):
        first_opened(Tunnels(session.ports).hold(begun(session), no_server))
    assert [] == doors.open
