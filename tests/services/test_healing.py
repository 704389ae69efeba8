"""Tasks that heal themselves, over a cloud in memory."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from attrs import evolve

import flow
from flow_core.domain.ending import OUTAGE
from flow_core.domain.record import Fault, Outcome
from flow_core.domain.status import TaskState
from flow_core.services.session import Session
from flow_providers.mock import PretendCloud
from flow_providers.mock.told import PretendRun


def history(session: Session, name: str) -> list[str]:
    """What happened to a task, a line each, with its reason."""
    return [f"{event.what}: {event.why}" for event in session.tasks.history(name)]


def test_a_failing_command_is_tried_as_often_as_asked(
    pretend_cloud: PretendCloud, session: Session
):
    """Two retries with rests of 5 and 10 s make three attempts, and the reason says so."""
    pretend_cloud.on("train", lambda run: [f"try {run.attempt}"] if run.attempt == 9 else 3)
    task = flow.run("train", retries=2, session=session)

    assert TaskState.FAILED is task.wait()
    record = session.tasks.record(task.name)
    assert ("the command ended with 3, after 3 tries", 3) == (record.reason, record.exit_code)
    assert record.began_at is not None
    assert record.ended_at is not None
    assert record.ended_at - record.began_at >= timedelta(seconds=15)


def test_a_retry_that_succeeds_is_a_success(pretend_cloud: PretendCloud, session: Session):
    """What failed once and then went well has gone well."""
    pretend_cloud.on("train", lambda run: 0 if run.attempt else 1)
    task = flow.run("train", retries=1, session=session)

    assert TaskState.COMPLETED is task.wait()


def test_one_ranks_failure_starts_all_over_together(pretend_cloud: PretendCloud, session: Session):
    """With a try left, the ranks that went on or were done begin again with the one that failed."""

    def train(run: PretendRun) -> Iterator[object]:
        yield timedelta(minutes=1 if run.rank == 0 else 5)
        yield f"rank {run.rank} attempt {run.attempt}"
        return 7 if run.rank == 1 and run.attempt == 0 else 0

    pretend_cloud.on("train", train)
    task = flow.run("train", num_instances=3, retries=1, session=session)

    assert TaskState.COMPLETED is task.wait()
    said = b"".join(chunk.data for chunk in session.tasks.logs(task.name)).decode()
    assert [f"rank {rank} attempt 1" in said for rank in range(3)] == [True] * 3
    assert "ended with 7; try 2 of 2 follows in 5 s" in said


def test_without_tries_one_ranks_failure_is_the_tasks(
    pretend_cloud: PretendCloud, session: Session
):
    """While all nodes are there, a failure is the program's."""
    pretend_cloud.on("train", lambda run: 4 if run.rank == 2 else None)
    task = flow.run("train", num_instances=3, session=session)

    assert TaskState.FAILED is task.wait()
    assert "the command ended with 4 on node 2" == session.tasks.record(task.name).reason


def losing(pretend: PretendCloud) -> None:
    """A training whose ranks fail when a fellow is gone, and which else takes an hour."""

    def train(run: PretendRun) -> Iterator[object]:
        for _ in range(60):
            yield timedelta(minutes=1)
            if run.attempt == 0 and not all(pretend.nodes.is_up(node) for node in nodes(pretend)):
                return 1
        return 0

    pretend.on("train", train)


def nodes(pretend: PretendCloud) -> list[str]:
    """The ids of all nodes of the only bid."""
    [bid] = pretend.provider.market.bids(live=True)
    return [node.id for node in pretend.provider.fleet.allocations([bid.id])[bid.id].nodes]


def test_a_failure_for_want_of_a_fellow_is_an_outage(
    pretend_cloud: PretendCloud, session: Session, clock
):
    """A node that loses its power makes the others fail; when it is back all begin again, and no try is used up."""
    losing(pretend_cloud)
    task = flow.run("train", num_instances=3, session=session)
    clock.advance(minutes=30)
    pretend_cloud.lose_node(task.name, 1, back_after="5m")

    assert TaskState.COMPLETED is task.wait()
    told = history(session, task.name)
    assert "an outage is waited out: node 1 is lost" in told
    assert [line for line in told if "membership 2 delivered to 3 nodes" in line]


def test_an_outage_is_not_waited_out_for_ever(pretend_cloud: PretendCloud, session: Session, clock):
    """A fellow who doesn't come back within 15 minutes ends the task, which says why."""
    losing(pretend_cloud)
    task = flow.run("train", num_instances=3, session=session)
    clock.advance(minutes=30)
    pretend_cloud.lose_node(task.name, 1)

    assert TaskState.FAILED is task.wait()
    record = session.tasks.record(task.name)
    assert "the command ended with 1 on node 0; node 1 is lost, for too long" == record.reason
    assert record.exit_code == 1


def test_no_failure_is_believed_while_the_market_has_the_nodes(
    pretend_cloud: PretendCloud, session: Session, clock
):
    """A group that failed for want of a fellow, and is then outbid for a day, begins again with all of its nodes."""
    losing(pretend_cloud)
    task = flow.run("train", num_instances=3, session=session)
    clock.advance(minutes=30)
    pretend_cloud.lose_node(task.name, 1, back_after="5m")
    clock.advance(minutes=1)
    pretend_cloud.outbid(task.name, lasts="20h")
    clock.advance(hours=15)
    assert TaskState.PREEMPTED is task.state

    assert TaskState.COMPLETED is task.wait()
    told = history(session, task.name)
    assert "the outage is over: the bid is preempting" in told


@pytest.mark.parametrize("count", [1, 3])
def test_a_lost_node_is_not_paid_for_ever(
    pretend_cloud: PretendCloud, session: Session, clock, count: int
):
    """Where a node stays lost and nobody else runs, the task ends after 15 minutes, and says for want of which node."""
    pretend_cloud.on("train", lambda run: iter([timedelta(hours=2 if run.rank == 0 else 1)]))
    task = flow.run("train", num_instances=count, session=session)
    clock.advance(minutes=30)
    pretend_cloud.lose_node(task.name, 0)
    clock.advance(minutes=10)
    assert not session.tasks.record(task.name).has_ended

    assert TaskState.FAILED is task.wait()
    record = session.tasks.record(task.name)
    assert ("node 0 is lost, for too long", None) == (record.reason, record.exit_code)
    assert record.ended_at is not None
    since = record.created_at + timedelta(
        minutes=30 if count == 1 else 62
    )  # lost, or alone with it
    assert OUTAGE <= record.ended_at - since < OUTAGE + timedelta(minutes=2)
    assert pretend_cloud.ledger().total == task.cost


def test_a_lost_node_that_comes_back_goes_on(pretend_cloud: PretendCloud, session: Session, clock):
    """A single node is waited for like a fellow, and its command is run again."""
    pretend_cloud.on("train", takes="1h", checkpoints=True)
    task = flow.run("train", session=session)
    clock.advance(minutes=30)
    pretend_cloud.lose_node(task.name, 0, back_after="10m")

    assert TaskState.COMPLETED is task.wait()
    assert "the outage is over: " in history(session, task.name)


def test_whose_fault_it_was_is_told(pretend_cloud: PretendCloud, session: Session, clock):
    """The market's notice, a node's loss, a program's failures and a mistake are told apart in the history."""
    pretend_cloud.on("train", lambda run: 3)
    failing = flow.run("train", retries=1, session=session)
    failing.wait()
    pretend_cloud.on("typo", lambda run: 127)
    mistaken = flow.run("typo", retries=1, session=session)
    mistaken.wait()
    losing(pretend_cloud)
    losing_nodes = flow.run("train", num_instances=2, session=session)
    clock.advance(minutes=10)
    pretend_cloud.lose_node(losing_nodes.name, 1, back_after="5m")
    clock.advance(minutes=20)
    pretend_cloud.outbid(losing_nodes.name, lasts="1h")
    losing_nodes.wait()

    assert [
        ("the command failed and is tried again", Fault.PROGRAM),
        ("the task failed", Fault.PROGRAM),
    ] == faults(session, failing.name)
    assert [("the task failed", Fault.MISTAKE)] == faults(session, mistaken.name)
    assert [
        ("an outage is waited out", Fault.NODE),
        ("the market gave notice of preemption", Fault.MARKET),
    ] == faults(session, losing_nodes.name)


def test_a_preemption_without_a_notice_is_the_markets_too(pretend_cloud, session, clock):
    """Where the watcher slept while the notice stood, the history still says who took the nodes."""
    pretend_cloud.on("train", takes="2h")
    task = flow.run("train", session=session)
    clock.advance(hours=1)
    watch = session.ports.watch
    watch._watcher = None  # type: ignore[attr-defined]
    pretend_cloud.outbid(task.name, lasts="5h")
    clock.advance(minutes=10)
    watch._watcher = session.watcher  # type: ignore[attr-defined]
    clock.advance(hours=1)

    assert TaskState.PREEMPTED is task.state
    assert [("the market took the nodes", Fault.MARKET)] == faults(session, task.name)


def faults(session: Session, name: str) -> list[tuple[str, Fault]]:
    """The events of a task that were somebody's fault."""
    return [(each.what, each.fault) for each in session.tasks.history(name) if each.fault]


def test_a_preempted_group_begins_again_together(
    pretend_cloud: PretendCloud, session: Session, clock
):
    """Outbid and granted again, a task of three nodes gets a new membership and ends well; the gap costs nothing."""
    pretend_cloud.on("train", takes="2h", checkpoints=True)
    task = flow.run("train", num_instances=3, session=session)
    clock.advance(hours=1)
    pretend_cloud.outbid(task.name, lasts="1h")

    assert TaskState.COMPLETED is task.wait()
    record = session.tasks.record(task.name)
    assert (1, Outcome.SUCCEEDED) == (record.preemptions, record.outcome)
    assert evolve(record).membership == 2


def test_nodes_that_come_up_are_looked_at_often(pretend_cloud, session, clock):
    """The watcher says so while nodes are granted and the command doesn't run yet, and only then."""
    pretend_cloud.on("train", takes="2h")
    task = flow.run("train", num_instances=2, session=session)
    seen = {}
    for _ in range(60):
        clock.advance(seconds=10)
        session.watcher.tick()
        seen[task.state] = session.watcher.is_starting

    assert seen.pop(TaskState.STARTING)
    assert {TaskState.RUNNING} == set(seen) - {TaskState.BIDDING}
    assert {False} == set(seen.values())


@pytest.mark.parametrize("taken_back", [True, False])
def test_a_failure_under_notice_waits_for_what_comes(
    pretend_cloud: PretendCloud, session: Session, clock, taken_back: bool
):
    """A command that leaves with an error when told of a notice runs again, rescued or not, and uses up no try."""

    def train(run: PretendRun) -> Iterator[object]:
        for _ in range(120):
            yield timedelta(minutes=1)
            if run.notice() is not None:
                return 9
        return 0

    pretend_cloud.on("train", train)
    task = flow.run("train", session=session)
    clock.advance(minutes=30)
    pretend_cloud.outbid(task.name, lasts="1h")
    clock.advance(minutes=2)
    assert not session.tasks.record(task.name).has_ended
    if taken_back:
        pretend_cloud.free_price()

    assert TaskState.COMPLETED is task.wait()
    assert (0 if taken_back else 1) == session.tasks.record(task.name).preemptions


def elsewhere(pretend: PretendCloud, session: Session, name: str) -> str:
    """A region, other than the task's, that offers its type."""
    record = session.tasks.record(name)
    quotes = pretend.provider.market.quotes(record.spec.instance_type)
    return next(quote.region for quote in quotes if quote.region != record.region)


def test_waiting_is_the_default(pretend_cloud: PretendCloud, session: Session, clock):
    """Without another word a preempted task keeps its bid as it is, however long it takes."""
    pretend_cloud.on("train", takes="9h")
    task = flow.run("train", instance_type="a100", session=session)
    clock.advance(hours=1)
    before = session.tasks.view(task.name).bid
    pretend_cloud.outbid(task.name, lasts="40h")
    clock.advance(hours=30)

    assert TaskState.PREEMPTED is task.state
    after = session.tasks.view(task.name).bid
    assert before is not None
    assert after is not None
    assert (before.id, before.limit, before.region) == (after.id, after.limit, after.region)


def test_a_limit_is_raised_within_the_cap_and_only_in_time(
    pretend_cloud: PretendCloud, session: Session, clock
):
    """The limit begins at the usual multiple of the price, and beats a new price once it was waited for in vain."""
    pretend_cloud.raise_price(2)
    pretend_cloud.on("train", takes="9h")
    task = flow.run(
        "train", instance_type="a100", max_price_per_hour=9, recovery="raise:20m", session=session
    )
    clock.advance(hours=1)
    assert flow.Price.parse(3) == session.tasks.record(task.name).limit
    pretend_cloud.raise_price(5)
    clock.advance(minutes=20)
    assert TaskState.PREEMPTED is task.state
    clock.advance(minutes=15)

    assert TaskState.RUNNING is task.state
    assert flow.Price.parse("5.5") == session.tasks.record(task.name).limit
    assert (
        "the limit was raised from $3.00/hr to $5.50/hr; $5.00/hr is the price: its recovery is raise:20m"
        in history(session, task.name)
    )


def test_no_limit_is_raised_over_the_cap(pretend_cloud: PretendCloud, session: Session, clock):
    """A price that the cap can't beat is waited out, and the history says so once."""
    pretend_cloud.raise_price(2)
    pretend_cloud.on("train", takes="9h")
    task = flow.run(
        "train", instance_type="a100", max_price_per_hour=4, recovery="raise:5m", session=session
    )
    clock.advance(hours=1)
    pretend_cloud.raise_price(5)
    clock.advance(hours=4)

    assert TaskState.PREEMPTED is task.state
    assert flow.Price.parse(3) == session.tasks.record(task.name).limit
    assert 1 == len([line for line in history(session, task.name) if "was not raised" in line])


def test_a_task_moves_to_another_region(pretend_cloud: PretendCloud, session: Session, clock):
    """After the stated time the old bid is withdrawn, then one is placed elsewhere; never are there two."""
    pretend_cloud.raise_price(2)
    pretend_cloud.on("train", takes="3h")
    task = flow.run("train", instance_type="a100", recovery="move:10m", session=session)
    clock.advance(hours=1)
    first = session.tasks.view(task.name).bid
    assert first is not None
    pretend_cloud.raise_price(9, region=first.region)
    for _ in range(120):
        clock.advance(minutes=1)
        assert len(pretend_cloud.provider.market.bids(live=True)) <= 1

    assert TaskState.RUNNING is task.state
    second = session.tasks.view(task.name).bid
    assert second is not None
    assert first.region != second.region
    spent = session.costs.of([session.tasks.record(task.name)])
    assert spent[session.tasks.record(task.name).token].spent > second.limit.over(timedelta(0))
    assert TaskState.COMPLETED is task.wait()
    assert pretend_cloud.ledger().total == task.cost


def test_a_move_stays_where_nothing_is_better(pretend_cloud: PretendCloud, session: Session, clock):
    """With every region too dear the bid is left where it is."""
    pretend_cloud.raise_price(2)
    pretend_cloud.on("train", takes="3h")
    task = flow.run("train", instance_type="a100", recovery="move:10m", session=session)
    clock.advance(hours=1)
    before = session.tasks.view(task.name).bid
    pretend_cloud.raise_price(9)
    clock.advance(hours=2)

    after = session.tasks.view(task.name).bid
    assert before is not None
    assert after is not None
    assert before.id == after.id
    assert [line for line in history(session, task.name) if line.startswith("it did not move")]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"recovery": "raise"}, "has no cap"),
        ({"recovery": "move", "mounts": {"/data": "volume://v"}}, "use a bucket"),
        ({"checkpoint": "/tmp/ckpt"}, "empty after a preemption"),
        ({"checkpoint": "ckpt", "recovery": "move"}, "stays behind"),
    ],
)
def test_what_could_never_survive_is_refused_before_bidding(
    session: Session, more: dict[str, object], words: str
):
    """A recovery that can't act and a checkpoint that can't last are told, and nothing is placed."""
    with pytest.raises(flow.InvalidRequest, match=words):
        flow.run("train", session=session, **more)
    assert [] == session.tasks.views()
