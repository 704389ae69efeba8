"""Tasks that end for want of anything to do, over a cloud in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest

import flow
from flow_adapters.clocks import ManualClock
from flow_core.domain.record import Outcome
from flow_core.domain.status import TaskState
from flow_core.ports.shell import Call
from flow_core.services.idling import ASK, SILENCE
from flow_core.services.session import Session
from flow_providers.mock import PretendCloud
from flow_providers.mock.told import PretendRun


class Doings:
    """What nodes say when they are asked: each rank's own word, idle where there is none."""

    def __init__(self) -> None:
        self.busy: set[int] = set()
        self.dumb: set[int] = set()
        self.gap_s: float | None = 30.0
        self.asked = 0

    def answer(self, call: Call) -> tuple[int, bytes]:
        """Answer one question."""
        self.asked += 1
        if call.node.rank in self.dumb:
            return 1, b""
        told = {"idle": call.node.rank not in self.busy, "gap_s": self.gap_s, "busy": ""}
        return 0, json.dumps(told).encode()


@pytest.fixture
def doings(pretend_cloud: PretendCloud) -> Doings:
    """Nodes that can be told to be busy, or to say nothing."""
    found = Doings()
    pretend_cloud.on_shell(ASK, found.answer)
    return found


def test_idle_nodes_end_their_task(pretend_cloud: PretendCloud, session: Session, doings: Doings):
    """Half an hour with nothing to do ends a task that would run for a day, with a reason of its own."""
    pretend_cloud.on("hang", takes="24h")
    task = flow.run("hang", num_instances=2, idle_timeout="30m", session=session)
    task.wait()
    record = session.tasks.record(task.name)

    assert (Outcome.IDLE, True) == (record.outcome, record.released)
    assert "its nodes have had nothing to do for 0:30:00, its idle_timeout" == record.reason
    assert record.began_at is not None
    assert record.ended_at is not None
    assert timedelta(minutes=30) <= record.ended_at - record.began_at < timedelta(minutes=35)


def test_one_busy_node_keeps_the_task(
    pretend_cloud: PretendCloud, session: Session, doings: Doings, clock: ManualClock
):
    """As long as one of the nodes computes, no other's rest ends anything."""
    pretend_cloud.on("train", takes="3h")
    doings.busy = {1}
    task = flow.run("train", num_instances=2, idle_timeout="10m", session=session)

    assert TaskState.COMPLETED is task.wait()


def test_what_was_busy_between_counts_anew(
    pretend_cloud: PretendCloud, session: Session, doings: Doings, clock: ManualClock
):
    """A moment of work in the middle gives the nodes the whole time once more."""
    pretend_cloud.on("hang", takes="24h")
    task = flow.run("hang", idle_timeout="30m", session=session)
    clock.advance(minutes=20)
    doings.busy = {0}
    clock.advance(minutes=2)
    doings.busy = set()
    clock.advance(minutes=20)

    assert TaskState.RUNNING is task.state
    clock.advance(minutes=15)
    assert Outcome.IDLE is session.tasks.record(task.name).outcome


def test_a_silent_node_ends_nothing(
    pretend_cloud: PretendCloud, session: Session, doings: Doings, clock: ManualClock
):
    """A node that doesn't answer is not known to be idle; when it answers again, the task ends."""
    pretend_cloud.on("hang", takes="24h")
    task = flow.run("hang", num_instances=2, idle_timeout="30m", session=session)
    clock.advance(minutes=20)
    doings.dumb = {1}
    clock.advance(hours=2)

    assert TaskState.RUNNING is task.state
    doings.dumb = set()
    clock.advance(minutes=31)
    assert Outcome.IDLE is session.tasks.record(task.name).outcome


def test_time_that_nobody_saw_counts_for_nothing(
    pretend_cloud: PretendCloud, session: Session, doings: Doings, clock: ManualClock
):
    """After this machine slept, nodes that are idle now begin to be so now."""
    pretend_cloud.on("hang", takes="24h")
    doings.gap_s = SILENCE.total_seconds() + 1
    task = flow.run("hang", idle_timeout="30m", session=session)
    clock.advance(hours=3)

    assert TaskState.RUNNING is task.state


def test_a_failed_ranks_fellows_end_on_kept_nodes(
    pretend_cloud: PretendCloud, session: Session, clock: ManualClock
):
    """The nodes stay, the command of the others doesn't; the reason names the first failure."""

    def train(run: PretendRun) -> Iterator[object]:
        yield timedelta(minutes=1 if run.rank == 2 else 600)
        return 3 if run.rank == 2 else 0

    pretend_cloud.on("train", train)
    task = flow.run("train", num_instances=3, keep=True, session=session)
    task.wait()
    clock.advance(minutes=2)
    view = session.tasks.view(task.name)

    assert "the command ended with 3 on node 2" == view.record.reason
    assert [143, 143, 3] == [report.exit_code for report in view.reports]
    assert not view.record.released


def test_kept_nodes_end_too(
    pretend_cloud: PretendCloud, session: Session, doings: Doings, clock: ManualClock
):
    """The command's success stays the outcome; only the nodes, kept for nobody, go."""
    pretend_cloud.on("true")
    task = flow.run("true", keep=True, idle_timeout="30m", session=session)
    task.wait()
    assert not session.tasks.record(task.name).released
    clock.advance(minutes=40)
    record = session.tasks.record(task.name)

    assert (Outcome.SUCCEEDED, True) == (record.outcome, record.released)
    said = [(each.what, each.why) for each in session.tasks.history(task.name)]
    words = "its nodes have had nothing to do for 0:30:00, its idle_timeout"
    assert ("the bid was withdrawn", words) in said


@pytest.mark.parametrize("limit", [{"max_run_time": "2h"}, {"max_spend": 5}])
def test_kept_nodes_end_at_any_limit(
    pretend_cloud: PretendCloud, session: Session, clock: ManualClock, limit: dict[str, object]
):
    """What was to end a forgotten task ends forgotten nodes."""
    pretend_cloud.on("true")
    task = flow.run("true", keep=True, session=session, **limit)
    task.wait()
    assert not session.tasks.record(task.name).released
    clock.advance(hours=24)

    assert session.tasks.record(task.name).released
