"""What is due for a task, decided from what is known of it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from flow_core.domain.actions import Deliver, Observe, Release, Settle, Withdraw
from flow_core.domain.allocation import Allocation, Node, NodeState
from flow_core.domain.bid import Bid, BidState
from flow_core.domain.ending import UNREADY, exit_of
from flow_core.domain.lifecycle import Seen, decide
from flow_core.domain.money import Price, Spend
from flow_core.domain.record import Fault, Outcome, Step, TaskRecord
from flow_core.domain.run import RunPhase, RunReport
from flow_core.domain.shape import parse_shape
from flow_core.domain.task import TaskSpec
from flow_core.domain.task_parts import RunOn

NOW = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
SHAPE = parse_shape("8xh100")


def record(nodes: int = 1, **changes: object) -> TaskRecord:
    """Return a placed record of a task on `nodes` nodes."""
    spec = TaskSpec(command="true", name="t", instance_type=SHAPE, num_instances=nodes)
    plain = TaskRecord(
        token="f1",
        name="t",
        provider="mock",
        spec=spec,
        created_at=NOW,
        step=Step.PLACED,
        bid_id="bid_1",
        bid_state=BidState.ALLOCATED,
        limit=Price.parse("10"),
        began_at=NOW,
    )
    return evolve(plain, **changes)


def bid(state: BidState = BidState.ALLOCATED, quantity: int = 1) -> Bid:
    """Return the record's bid in `state`."""
    return Bid(
        id="bid_1",
        name="t-f1",
        state=state,
        shape=SHAPE,
        region="r",
        quantity=quantity,
        limit=Price.parse("10"),
        created_at=NOW,
    )


def allocation(nodes: int = 1, state: NodeState = NodeState.RUNNING) -> Allocation:
    """Return `nodes` nodes in `state`."""
    return Allocation(
        bid_id="bid_1",
        nodes=tuple(Node(id=f"n{rank}", rank=rank, state=state) for rank in range(nodes)),
    )


def report(rank: int, phase: RunPhase, code: int | None = None, at: int = 0) -> RunReport:
    """Return what node `rank` says, `at` minutes after noon."""
    ended = NOW + timedelta(minutes=at) if code is not None else None
    wants = phase is RunPhase.WAITING
    return RunReport(rank=rank, phase=phase, exit_code=code, ended_at=ended, wants_delivery=wants)


def seen(**changes: object) -> Seen:
    """Return one running single-node task, with `changes`."""
    plain = Seen(
        record=record(),
        bid=bid(),
        allocation=allocation(),
        reports=(report(0, RunPhase.RUNNING),),
        now=NOW,
    )
    return evolve(plain, **changes)


def test_a_running_task_needs_nothing():
    """While the command runs within its limits, there is nothing to do."""
    assert [] == decide(seen())


def test_success_settles_and_withdraws():
    """A command that ended with 0 on its only node ends the task, and its cost."""
    actions = decide(seen(reports=(report(0, RunPhase.EXITED, 0),)))

    assert [Settle, Withdraw] == [type(action) for action in actions]
    assert Outcome.SUCCEEDED is actions[0].outcome


def test_one_success_of_two_is_not_the_end():
    """A task on two nodes goes on until both have ended with 0."""
    reports = (report(0, RunPhase.EXITED, 0), report(1, RunPhase.RUNNING))

    assert [] == decide(seen(record=record(2), allocation=allocation(2), reports=reports))


def test_the_first_failure_in_time_is_the_tasks():
    """Of several nodes that failed, the one that failed first gives the exit code, whatever its rank."""
    reports = (report(0, RunPhase.EXITED, 3, at=9), report(1, RunPhase.EXITED, 4, at=2))

    actions = decide(seen(record=record(2), allocation=allocation(2), reports=reports))

    expected = Settle(Outcome.FAILED, "the command ended with 4 on node 1", 4, Fault.PROGRAM)
    assert expected == actions[0]


def test_one_that_a_fellow_ended_is_no_first_failure():
    """A clock that is ahead makes no first failure of it; where nobody else can be asked, its reason is the task's."""
    told = evolve(report(0, RunPhase.EXITED, 143, at=1), reason="ended because node 1 ended with 4")
    alone = decide(seen(record=record(2), allocation=allocation(1), reports=(told,)))
    reports = (told, report(1, RunPhase.EXITED, 4, at=2))
    actions = decide(seen(record=record(2), allocation=allocation(2), reports=reports))

    expected = Settle(Outcome.FAILED, "the command ended with 4 on node 1", 4, Fault.PROGRAM)
    assert expected == actions[0]
    words = "the command on node 0 was ended because node 1 ended with 4"
    assert Settle(Outcome.FAILED, words, 143, Fault.PROGRAM) == alone[0]


def test_an_interrupted_run_is_no_end():
    """A run that the node's own stop cut short settles nothing."""
    assert [] == decide(seen(reports=(report(0, RunPhase.INTERRUPTED),)))


def test_only_the_first_node_counts_where_only_it_runs():
    """With `first-node`, rank 0's end is the task's, whatever the others say."""
    reports = (report(0, RunPhase.EXITED, 0), report(1, RunPhase.RUNNING))

    assert (0, reports[0]) == exit_of(RunOn.FIRST_NODE, reports, 2)


def test_a_kept_task_keeps_its_bid():
    """When the command of a kept task ends, the outcome is written down and the bid stays."""
    kept = evolve(record(), spec=evolve(record().spec, keep=True))

    actions = decide(seen(record=kept, reports=(report(0, RunPhase.EXITED, 0),)))

    assert [Settle] == [type(action) for action in actions]


@pytest.mark.parametrize("keep", [False, True])
def test_a_cancelled_task_gives_its_bid_back(keep: bool):
    """Cancelling ends the bid, of a kept task too."""
    asked = evolve(record(), cancel_asked=True, spec=evolve(record().spec, keep=keep))

    actions = decide(seen(record=asked))

    assert [Settle, Withdraw] == [type(action) for action in actions]
    assert Outcome.CANCELLED is actions[0].outcome


def test_a_bid_that_someone_else_ended_ends_the_task():
    """A bid that is gone without our doing settles the task as vanished and releases it."""
    actions = decide(seen(bid=bid(BidState.TERMINATED), reports=()))

    assert [Observe, Settle, Release] == [type(action) for action in actions]
    assert Outcome.VANISHED is actions[1].outcome


def test_a_bid_whose_time_was_up_is_a_task_that_timed_out():
    """Where the provider itself keeps a time limit, its end by that is told as a limit of the task's own is."""
    gone = evolve(bid(BidState.TERMINATED), ran_out=True, detail="it reached Slurm's time limit")
    [_, settled, *_] = decide(seen(bid=gone, reports=()))

    assert (Outcome.TIMED_OUT, True) == (settled.outcome, "Slurm's time limit" in settled.reason)


def test_an_ended_task_is_released_once_its_bid_is_gone():
    """Only a bid known to be gone lets the record go; until then it is withdrawn again."""
    ended = evolve(record(), outcome=Outcome.SUCCEEDED, bid_state=BidState.TERMINATED)

    assert [Release()] == decide(seen(record=ended, bid=bid(BidState.TERMINATED)))
    assert [Withdraw] == [
        type(action) for action in decide(seen(record=evolve(ended, bid_state=BidState.ALLOCATED)))
    ]


def test_time_held_ends_a_task():
    """A task that has held its nodes for its max_run_time ends, and not a second earlier."""
    timed = evolve(record(), spec=evolve(record().spec, max_run_time=timedelta(hours=1)))

    assert [] == decide(seen(record=timed, held=timedelta(minutes=59, seconds=59)))
    late = decide(seen(record=timed, held=timedelta(hours=1)))
    assert Outcome.TIMED_OUT is late[0].outcome


@given(spent=st.integers(0, 30_000_000), ceiling=st.integers(1, 30_000_000))
def test_money_ends_a_task_before_it_can_be_passed(spent: int, ceiling: int):
    """A task is ended exactly when its spend has reached the ceiling."""
    capped = evolve(record(), spec=evolve(record().spec, max_spend=Spend(ceiling)))

    actions = decide(seen(record=capped, spent=Spend(spent)))

    # Under one second's worth at the full limit ($10/hr) counts as reached.
    is_reached = (ceiling - spent) * 3_600 < 10_000_000
    assert is_reached == bool(actions)


def test_nodes_that_wait_are_told_when_all_are_up():
    """A membership goes out with the next number once every node is up and has spoken, not before.

    Next after what nodes have too: a client may have died before it wrote down what it gave them.
    """
    waiting = (report(0, RunPhase.WAITING), report(1, RunPhase.WAITING))
    two = seen(record=record(2, membership=4), allocation=allocation(2), reports=waiting)

    assert [Deliver(5, two.allocation.signature)] == decide(two)
    newer = (waiting[0], evolve(waiting[1], membership=5.001))
    assert [Deliver(6, two.allocation.signature)] == decide(evolve(two, reports=newer))
    assert [] == decide(evolve(two, reports=waiting[:1]))
    assert [] == decide(evolve(two, allocation=allocation(2, NodeState.STARTING)))


def test_a_bids_move_is_written_down_first():
    """A bid seen in another state than the record's is observed before anything else is done."""
    actions = decide(seen(bid=bid(BidState.PREEMPTING)))

    assert [Observe(BidState.PREEMPTING)] == actions


@given(
    state=st.sampled_from(BidState),
    outcome=st.none() | st.sampled_from(Outcome),
    released=st.booleans(),
    cancel=st.booleans(),
    keep=st.booleans(),
    phase=st.sampled_from(RunPhase),
    code=st.integers(0, 255),
)
def test_nothing_that_can_cost_money_is_let_go(
    state: BidState,
    outcome: Outcome | None,
    released: bool,
    cancel: bool,
    keep: bool,
    phase: RunPhase,
    code: int,
):
    """A record is released only when its bid is gone; a live bid of an ended task is withdrawn unless kept for use."""
    now = evolve(
        record(), outcome=outcome, cancel_asked=cancel, spec=evolve(record().spec, keep=keep)
    )
    said = (report(0, phase, code if phase is RunPhase.EXITED else None),)

    actions = decide(seen(record=now, bid=bid(state), reports=said))

    releases = any(isinstance(action, Release) for action in actions)
    ended = outcome is not None or any(isinstance(action, Settle) for action in actions)
    withdraws = any(isinstance(action, Withdraw) for action in actions)
    assert not releases or state is BidState.TERMINATED
    # A record that failed without an exit code never had nodes to run anything on.
    kept = keep and not cancel and outcome is not Outcome.FAILED
    assert withdraws == (ended and state is not BidState.TERMINATED and not kept)


SILENT = {
    "no node has appeared": (),
    "node 1 is starting": (
        Node(id="n0", rank=0, state=NodeState.RUNNING),
        Node(id="n1", rank=1, state=NodeState.STARTING),
    ),
    "node 1 does not answer": allocation(2).nodes,
}


@pytest.mark.parametrize("words", SILENT)
@pytest.mark.parametrize("keep", [False, True])
def test_nodes_that_never_are_ready_end_their_task(words, keep):
    """Half an hour of nodes that nothing can be told ends the task and its cost, a kept one's too."""
    plain = record(2)
    held = seen(
        record=evolve(plain, spec=evolve(plain.spec, keep=keep)),
        allocation=Allocation(bid_id="bid_1", nodes=SILENT[words]),
        reports=(report(0, RunPhase.WAITING),) if SILENT[words] else (),
        unready=UNREADY,
    )

    settled, withdrawn = decide(held)
    assert f"{words}, 30m after its nodes were granted" == settled.reason
    assert (Outcome.FAILED, None, Withdraw) == (settled.outcome, settled.exit_code, type(withdrawn))
    assert [] == decide(evolve(held, unready=UNREADY - timedelta(seconds=1)))


def test_nodes_that_were_ready_may_be_silent():
    """A task that was told something goes on where this machine can't see it."""
    at_work = record(2, ready_at=NOW)

    assert [] == decide(seen(record=at_work, allocation=allocation(2), reports=(), unready=UNREADY))


def test_nodes_that_can_t_be_told_end_their_task():
    """Half an hour of failed deliveries ends a task that waits for one; one that has all it needs goes on."""
    waiting = seen(
        reports=(report(0, RunPhase.WAITING),), record=record(ready_at=NOW), undelivered=UNREADY
    )
    settled, withdrawn, *_ = decide(waiting)

    assert isinstance(settled, Settle)
    assert (Outcome.FAILED, None, Fault.NETWORK, Withdraw) == (
        settled.outcome, settled.exit_code, settled.fault, type(withdrawn),
    )  # fmt: skip
    assert "its code and membership could not be delivered for 30m" == settled.reason
    assert [Deliver] == [
        type(each) for each in decide(evolve(waiting, undelivered=UNREADY - timedelta(seconds=1)))
    ]
    assert [] == decide(evolve(waiting, reports=(report(0, RunPhase.RUNNING),)))
