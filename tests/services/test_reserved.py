"""Tasks on reservations: real node scripts and commands, on nodes that are folders of this machine."""

from __future__ import annotations

import os
import random
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from attrs import define, evolve, field

from flow_adapters.clocks import SystemClock
from flow_adapters.journal import SqliteJournal
from flow_adapters.memory import MemoryLogKeep, UnpackedCode
from flow_adapters.node_files import load_node_files
from flow_adapters.vault import HeldVault
from flow_core.domain.allocation import Allocation, Node, NodeState
from flow_core.domain.money import Spend
from flow_core.domain.record import Outcome
from flow_core.domain.reservation import ReservationState
from flow_core.domain.run import Stream
from flow_core.domain.status import TaskState
from flow_core.domain.task_form import task_from_mapping
from flow_core.errors import Conflict, InvalidRequest, NodeUnreachable, NotFound, Unsupported
from flow_core.ports.shell import NodeExit, NodeLost, NodeOutput
from flow_core.services.ports import Ports
from flow_core.services.reservations import Reserving
from flow_core.services.session import Session
from tests.cli.sold import Sold

PATIENCE_S = 60.0

pytestmark = pytest.mark.slow


@define
class Folders:
    """Fleet and shell over folders: each node of a reservation is one, which runs calls by `sh`."""

    sold: Sold
    root: Path
    dead: set[int] = field(factory=set)

    def allocations(self, bid_ids):
        found = {}
        for each in self.sold.reservations():
            up = each.state is ReservationState.ACTIVE
            nodes = tuple(
                Node(id=f"{each.id}-{rank}", rank=rank, state=NodeState.RUNNING if up else NodeState.STOPPED)
                for rank in range(each.term.quantity)
            )  # fmt: skip
            found[each.id] = Allocation(bid_id=each.id, nodes=nodes)
        return {each: found.get(each, Allocation(bid_id=each)) for each in bid_ids}

    def run_many(self, calls, *, timeout_s=None):
        for call in calls:
            if call.node.rank in self.dead:
                yield NodeLost(call.node, "it is dead")
                continue
            place = self.root / call.node.id
            (place / "work").mkdir(parents=True, exist_ok=True)
            environ = {
                "PATH": os.environ["PATH"], "FLOW_HOME": str(place / "flow"), "FLOW_FOREGROUND": "1",
                "FLOW_WORKSPACE": str(place / "work"), "FLOW_GRACE_S": "1", "FLOW_PYTHON": "python3",
            }  # fmt: skip
            done = subprocess.run(
                ["sh", "-c", call.line], input=call.stdin, env=environ, capture_output=True,
                cwd=place / "work", timeout=PATIENCE_S, check=False,
            )  # fmt: skip
            if done.stdout:
                yield NodeOutput(call.node, Stream.OUT, done.stdout)
            yield NodeExit(call.node, done.returncode)

    def homes(self, rank=0):
        """The folders of Flow's files on one node, one a task."""
        return sorted(self.root.glob(f"*-{rank}/flow-*"))


class Ticking:
    """A watch that ticks whenever somebody waits."""

    def __init__(self):
        self.session = None

    def ensure(self):
        if self.session is not None:
            self.session.watcher.tick()

    def is_running(self):
        return True

    def trouble(self):
        return ""


@pytest.fixture
def sold(pretend_cloud) -> Sold:
    """What has been sold."""
    return Sold(pretend_cloud.provider.market, pretend_cloud.clock)


@pytest.fixture
def folders(sold, tmp_path):
    """The nodes; whatever still runs on them is ended with the test."""
    made = Folders(sold, tmp_path / "nodes")
    yield made
    made.dead.clear()
    for home in made.root.glob("*/flow-*"):
        if not (home / "bin" / "flow-node").exists():
            continue
        environ = {"PATH": os.environ["PATH"], "FLOW_HOME": str(home)}
        subprocess.run(
            [home / "bin" / "flow-node", "stop"], env=environ, check=False, timeout=PATIENCE_S
        )


@pytest.fixture
def reserved(pretend_cloud, sold, folders) -> Session:
    """A session whose provider has sold 'week', two nodes that are up."""
    provider = evolve(
        pretend_cloud.provider, reservations=sold, logs=None, fleet=folders, shell=folders,
        limits=evolve(pretend_cloud.provider.limits, poll_s=0.2),
    )  # fmt: skip
    watch = Ticking()
    session = Session(
        Ports(
            provider=provider, journal=SqliteJournal(":memory:"), clock=SystemClock(), code=UnpackedCode(),
            watch=watch, chance=random.Random(3), node_files=load_node_files(), log_keep=MemoryLogKeep(),
            vault=HeldVault({}),
        )
    )  # fmt: skip
    watch.session = session
    reserve(session, "week")
    return session


def reserve(session, name, *, quantity=2, delay=timedelta(0)):
    """Reserve nodes for a day and return the reservation."""
    service, now = Reserving(session.ports), session.provider.clock.now()
    shape = session.provider.market.quotes()[0].shape
    offers = service.offers(
        shape, quantity=quantity, start=now + delay, end=now + delay + timedelta(days=1)
    )
    return service.create(offers[0], name=name)


def task(command, name="train", **more):
    """A task on 'week'."""
    return task_from_mapping({"command": command, "name": name, "reservation": "week", **more})


def log_of(session, name) -> bytes:
    """What a task wrote on its first node."""
    return b"".join(chunk.data for chunk in session.tasks.logs(name, ranks=[0]))


def test_a_task_runs_on_all_nodes_of_a_reservation(reserved, sold):
    """Its command runs on each with ranks, its log is kept, it costs nothing, and the reservation goes on."""
    charged = sold.charged
    reserved.tasks.submit(
        task("echo $FLOW_NODE_RANK of $FLOW_NUM_NODES; echo $LR", env={"LR": "0.1"})
    )
    view = reserved.tasks.wait("train", timeout_s=PATIENCE_S)

    assert (Outcome.SUCCEEDED, True) == (view.record.outcome, view.record.released)
    assert b"0 of 2\n0.1\n" in log_of(reserved, "train")
    assert b"1 of 2" in b"".join(chunk.data for chunk in reserved.tasks.logs("train", ranks=[1]))
    assert Spend.ZERO == view.record.spent
    assert charged == sold.charged
    assert [ReservationState.ACTIVE] == [each.state for each in sold.reservations()]


def test_a_later_task_is_told_apart_from_an_earlier_one(reserved, folders):
    """Each has a folder of its own on the nodes, so that the first one's end and log aren't the second's."""
    reserved.tasks.submit(task("echo first; exit 3", "one"))
    assert 3 == reserved.tasks.wait("one", timeout_s=PATIENCE_S).record.exit_code
    reserved.tasks.submit(task("echo second", "two"))
    assert 0 == reserved.tasks.wait("two", timeout_s=PATIENCE_S).record.exit_code

    assert b"first" in log_of(reserved, "one")
    assert b"second" in log_of(reserved, "two")
    assert b"first" not in log_of(reserved, "two")
    assert 2 == len(folders.homes())


def running(session, name) -> TaskState:
    """The state of a task once its command runs."""
    for progress in session.tasks.follow(name, timeout_s=PATIENCE_S):
        if progress.view.state is TaskState.RUNNING:
            break
    return progress.view.state


def test_cancelling_ends_the_command_and_leaves_the_reservation(reserved, folders, sold):
    """No node runs it any more, and the nodes take the next task."""
    reserved.tasks.submit(task("echo up; exec sleep 600"))
    assert TaskState.RUNNING is running(reserved, "train")
    reserved.tasks.cancel("train")
    reserved.tasks.wait("train", timeout_s=PATIENCE_S)

    record = reserved.tasks.record("train")
    assert (Outcome.CANCELLED, True) == (record.outcome, record.released)
    assert all((home / "stop").exists() for rank in (0, 1) for home in folders.homes(rank))
    assert [True] == [each.is_live for each in sold.reservations()]
    reserved.tasks.submit(task("true", "next"))
    assert 0 == reserved.tasks.wait("next", timeout_s=PATIENCE_S).record.exit_code


def test_nodes_serve_one_task_at_a_time(reserved):
    """A second task is refused while the first one lives, unless it waits for it."""
    reserved.tasks.submit(task("sleep 600"))
    with pytest.raises(Conflict, match="one task at a time"):
        reserved.tasks.plan(task("true", "next"))

    assert "week" in reserved.tasks.plan(task("true", "next", after=["train"])).quote.source
    reserved.tasks.cancel("train")


def test_a_reservation_that_has_not_begun_is_waited_for(reserved, pretend_cloud):
    """The task says what it waits for, and runs once the reservation's nodes are up."""
    reserve(reserved, "later", quantity=1, delay=timedelta(hours=3))
    spec = task_from_mapping({"command": "echo up", "name": "train", "reservation": "later"})
    reserved.tasks.submit(spec)
    view = reserved.tasks.view("train")

    assert TaskState.BIDDING is view.state
    assert "reservation has not begun" in reserved.tasks.waits_for(view).what
    pretend_cloud.clock.advance(hours=3)
    assert 0 == reserved.tasks.wait("train", timeout_s=PATIENCE_S).record.exit_code


def test_a_paused_reservation_pauses_its_task(reserved, sold):
    """Its command can't be ended before the nodes are back; then it is, and never runs on."""
    reserved.tasks.submit(task("exec sleep 600"))
    assert TaskState.RUNNING is running(reserved, "train")
    Reserving(reserved.ports).pause("week", paused=True)

    assert TaskState.PAUSED is reserved.tasks.view("train").state
    with pytest.raises(NodeUnreachable):
        reserved.tasks.cancel("train")
    reserved.watcher.tick()
    assert reserved.tasks.record("train").is_live
    Reserving(reserved.ports).pause("week", paused=False)
    reserved.tasks.wait("train", timeout_s=PATIENCE_S)
    assert Outcome.CANCELLED is reserved.tasks.record("train").outcome


def test_a_node_that_does_not_answer_is_ended_on_later(reserved, folders):
    """The task is ending until every node has been told."""
    reserved.tasks.submit(task("exec sleep 600"))
    assert TaskState.RUNNING is running(reserved, "train")
    folders.dead.add(1)
    with pytest.raises(NodeUnreachable):
        reserved.tasks.cancel("train")
    reserved.watcher.tick()
    assert not reserved.tasks.record("train").released
    folders.dead.clear()
    reserved.watcher.tick()
    reserved.watcher.tick()

    assert reserved.tasks.record("train").released


def test_a_reservation_that_ends_ends_its_task(reserved, pretend_cloud):
    """Its bid's stand-in is gone, and the task fails with a reason."""
    reserved.tasks.submit(task("exec sleep 600"))
    assert TaskState.RUNNING is running(reserved, "train")
    pretend_cloud.clock.advance(days=1, hours=1)
    view = reserved.tasks.wait("train", timeout_s=PATIENCE_S)

    assert (Outcome.VANISHED, True) == (view.record.outcome, view.record.released)


@pytest.mark.parametrize(
    "more, field",
    [
        ({"instance_type": "1xt4"}, "instance_type"),
        ({"region": "eu-central1-b"}, "region"),
        ({"num_instances": 3}, "num_instances"),
        ({"max_price_per_hour": 5}, "reservation"),
        ({"mounts": {"/data": "volume://data"}}, "reservation"),
    ],
)
def test_a_task_that_asks_for_something_else_is_refused(reserved, more, field):
    """What the reservation is can't be changed by a task, and it has no price."""
    with pytest.raises(InvalidRequest) as caught:
        reserved.tasks.plan(task("true", **more))

    assert [field] == list(caught.value.problems)


def test_a_reservation_that_is_none_is_told(reserved, session):
    """An unknown name lists those there are; a provider without reservations says so."""
    with pytest.raises(NotFound) as caught:
        reserved.tasks.plan(evolve(task("true"), reservation="month"))
    assert "week" in (caught.value.hint or "")
    with pytest.raises(Unsupported):
        session.tasks.plan(task("true"))


def test_a_limit_means_nothing_on_a_reservation(reserved):
    """There is no bid to change, and the message says what can be."""
    reserved.tasks.submit(task("sleep 600"))
    with pytest.raises(Unsupported, match="no bid"):
        reserved.amending.pause("train")
    reserved.tasks.cancel("train")


def test_bids_are_bids_as_before(reserved, pretend_cloud):
    """Beside a task on a reservation, one that bids goes its own way in the same sweep."""
    reserved.tasks.submit(task("sleep 600"))
    record = reserved.tasks.submit(
        task_from_mapping({"command": "true", "instance_type": "8xh100"})
    )
    bids = reserved.provider.market.bids(ids=[record.bid_id, reserved.tasks.record("train").bid_id])

    assert 2 == len(bids)
    assert record.bid_id == reserved.provider.market.bid(record.bid_id).id
    reserved.tasks.cancel("train")
