"""Nodes that are granted and never can be told anything, over a cloud in memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta

import pytest
from attrs import evolve

import flow
from flow_adapters.clocks import ManualClock
from flow_adapters.wiring import connect_in_memory
from flow_core.domain.ending import UNREADY
from flow_core.domain.record import Fault, Outcome
from flow_core.domain.run import LogChunk, RunReport, Stream
from flow_core.ports.logs import Logs
from flow_core.ports.shell import Call, Events, NodeExit, NodeOutput, RemoteShell
from flow_core.services.session import Session
from flow_core.services.starting import SOON, Starting
from flow_providers.mock import PretendCloud


class SilentLogs:
    """Passes on what nodes say, but for the time in which they can't be heard."""

    def __init__(self, told: Logs) -> None:
        self._told = told
        self.is_silent = True

    def reports(self, bid_ids: Collection[str]) -> Mapping[str, tuple[RunReport, ...]]:
        """See `Logs.reports`."""
        return dict.fromkeys(bid_ids, ()) if self.is_silent else self._told.reports(bid_ids)

    def read(self, bid_id: str, rank: int, *, offset: int = 0, limit: int = 1 << 20) -> LogChunk:
        """See `Logs.read`."""
        return self._told.read(bid_id, rank, offset=offset, limit=limit)


@pytest.fixture
def logs(pretend_cloud: PretendCloud) -> SilentLogs:
    """Nodes that answer nobody."""
    assert pretend_cloud.provider.logs is not None
    found = SilentLogs(pretend_cloud.provider.logs)
    pretend_cloud.provider = evolve(pretend_cloud.provider, logs=found)
    return found


@pytest.fixture
def silent(pretend_cloud: PretendCloud, logs: SilentLogs) -> Session:
    """A session with a cloud of such nodes."""
    return connect_in_memory(pretend_cloud)


def test_silent_nodes_end_their_task(silent: Session):
    """The wait says how it ends; after half an hour it does, and the history tells what was amiss before that."""
    task = flow.run("train", num_instances=2, session=silent)
    silent.ports.clock.sleep(SOON.total_seconds() + 300)
    waits = silent.tasks.waits_for(silent.tasks.view(task.name))
    task.wait()
    record = silent.tasks.record(task.name)
    events = silent.tasks.history(task.name)

    assert waits is not None
    assert "nodes are up; 0 of 2 answer" == waits.what
    assert "the command starts (30m at most)" == waits.then
    assert ("node 0 does not answer", Fault.NETWORK) in [
        (event.why, event.fault) for event in events if event.what == "its nodes are not ready yet"
    ]
    assert (Outcome.FAILED, True, None) == (record.outcome, record.released, record.ready_at)
    assert record.began_at is not None
    assert record.ended_at is not None
    assert UNREADY <= record.ended_at - record.began_at < UNREADY + timedelta(minutes=5)


def test_nodes_that_answer_late_are_in_time(
    silent: Session, pretend_cloud: PretendCloud, logs: SilentLogs, clock: ManualClock
):
    """Within the half hour the task goes on, and a silence of an hour later on ends nothing."""
    pretend_cloud.on("train", takes="3h")
    task = flow.run("train", session=silent)
    clock.advance(UNREADY - timedelta(minutes=5))
    logs.is_silent = False
    clock.advance(minutes=10)
    ready = silent.tasks.record(task.name).ready_at
    logs.is_silent = True
    clock.advance(hours=1)
    logs.is_silent = False
    task.wait()

    assert ready is not None
    assert Outcome.SUCCEEDED is silent.tasks.record(task.name).outcome


class DeafShell:
    """Passes on calls, but nodes have no room for what they are told of their membership."""

    def __init__(self, shell: RemoteShell) -> None:
        self._shell = shell
        self.is_deaf = True

    def run_many(self, calls: Sequence[Call], *, timeout_s: float | None = None) -> Events:
        """See `RemoteShell.run_many`."""
        if self.is_deaf and any(call.line.endswith(" deliver") for call in calls):
            for call in calls:
                yield NodeOutput(call.node, Stream.ERR, b"no space left on device")
                yield NodeExit(call.node, 1)
            return
        yield from self._shell.run_many(calls, timeout_s=timeout_s)

    def __getattr__(self, name: str) -> object:
        return getattr(self._shell, name)


@pytest.mark.parametrize("recovers", [False, True])
def test_nodes_that_can_t_be_told_end_their_task(pretend_cloud: PretendCloud, recovers: bool):
    """A delivery that fails for half an hour ends the task with what was said; one that works by then goes on."""
    shell = DeafShell(pretend_cloud.provider.shell)
    pretend_cloud.provider = evolve(pretend_cloud.provider, shell=shell)
    session = connect_in_memory(pretend_cloud)
    pretend_cloud.on("train", takes="1h")
    task = flow.run("train", num_instances=2, session=session)
    session.ports.clock.sleep((UNREADY - timedelta(minutes=5)).total_seconds())
    shell.is_deaf = not recovers
    task.wait()
    record = session.tasks.record(task.name)
    whys = [each.why for each in session.tasks.history(task.name)]

    assert any("no space left on device" in why for why in whys)
    assert (Outcome.SUCCEEDED if recovers else Outcome.FAILED) is record.outcome
    assert record.released
    if not recovers:
        assert "its code and membership could not be delivered for 30m" == record.reason
        assert record.began_at is not None
        assert record.ended_at is not None
        assert UNREADY <= record.ended_at - record.began_at < UNREADY + timedelta(minutes=10)


def test_time_asleep_is_no_time_of_trying(session: Session, clock: ManualClock):
    """Tries half a night apart say nothing of the time between; success forgets all of them."""
    starting = Starting(session.ports)
    for minutes in (0, 1, 600, 1, 1):
        clock.advance(minutes=minutes)
        starting.delivers("task", lambda: False)
    lasted = starting.undelivered("task")
    starting.delivers("task", lambda: True)

    assert timedelta(minutes=2) == lasted
    assert timedelta(0) == starting.undelivered("task")
