"""The state of a task: derived from four sources, in one order of precedence."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_core.domain.allocation import (
    NODE_TRANSITIONS,
    Address,
    Allocation,
    Node,
    NodeState,
    Notice,
    NoticeKind,
)
from flow_core.domain.bid import BID_TRANSITIONS, Bid, BidState, may_follow
from flow_core.domain.money import Price
from flow_core.domain.record import STEP_TRANSITIONS, Outcome, Step, TaskRecord
from flow_core.domain.run import RunPhase, RunReport
from flow_core.domain.shape import InstanceShape
from flow_core.domain.status import FINAL, TASK_TRANSITIONS, TaskState, TaskView, task_state
from flow_core.domain.task import TaskSpec
from flow_core.domain.task_parts import RunOn
from tests import strategies
from tests.strategies import EPOCH

TABLES = [TASK_TRANSITIONS, BID_TRANSITIONS, NODE_TRANSITIONS, STEP_TRANSITIONS]
#: What two nodes may say of their command.
PHASES = [
    (RunPhase.WAITING, RunPhase.WAITING),
    (RunPhase.RUNNING, RunPhase.RUNNING),
    (0, RunPhase.RUNNING),
    (0, 0),
    (1, RunPhase.RUNNING),
]


def record(**changes) -> TaskRecord:
    """A placed record of a two-node task."""
    spec = changes.pop("spec", TaskSpec(command="true", num_instances=2))
    values = {
        "token": "t",
        "name": "n",
        "provider": "mock",
        "created_at": EPOCH,
        "step": Step.PLACED,
    }
    return TaskRecord(spec=spec, **{**values, **changes})


def bid(state: BidState) -> Bid:
    """A bid in some state."""
    return Bid(
        id="b", name="n-t", state=state, shape=InstanceShape("h100", 8), region="r", quantity=2,
        limit=Price(1), created_at=EPOCH,
    )  # fmt: skip


def allocation(*states: NodeState, notice: NoticeKind | None = None) -> Allocation:
    """Nodes in these states."""
    nodes = tuple(
        Node(id=f"n{rank}", rank=rank, state=state, address=Address("h"))
        for rank, state in enumerate(states)
    )
    return Allocation(bid_id="b", nodes=nodes, notice=Notice(notice, EPOCH) if notice else None)


def reports(*phases: RunPhase | int) -> tuple[RunReport, ...]:
    """What the nodes say, by rank; a number is an exit code."""
    return tuple(
        RunReport(rank=rank, phase=RunPhase.EXITED, exit_code=phase, ended_at=EPOCH)
        if isinstance(phase, int)
        else RunReport(rank=rank, phase=phase)
        for rank, phase in enumerate(phases)
    )


#: Every source of a state, in all that a state may follow from; the rest of a record is one and the same.
views = st.builds(
    TaskView,
    record=st.builds(
        record,
        spec=st.builds(
            TaskSpec,
            command=st.just("true"),
            num_instances=st.integers(1, 3),
            run_on=st.sampled_from(RunOn),
        ),
        step=st.sampled_from(Step),
        bid_state=st.none() | st.sampled_from(BidState),
        preemptions=st.integers(0, 2),
        began_at=st.none() | st.just(EPOCH),
        cancel_asked=st.booleans(),
        outcome=st.none() | st.sampled_from(Outcome),
        exit_code=st.none() | st.integers(0, 255),
    ),
    bid=st.none() | st.sampled_from(BidState).map(bid),
    allocation=st.none() | strategies.allocations,
    reports=st.lists(strategies.reports, max_size=3, unique_by=lambda each: each.rank).map(tuple),
)

UP = allocation(NodeState.RUNNING, NodeState.RUNNING)
RUNNING, WAITING = RunPhase.RUNNING, RunPhase.WAITING


def reachable(table: dict, start: object) -> set:
    """What may be seen at some time after `start`."""
    found: set = set()
    pending = [start]
    while pending:
        for state in table[pending.pop()] - found:
            found.add(state)
            pending.append(state)
    return found


@pytest.mark.parametrize("table", TABLES)
def test_a_table_is_whole(table):
    """Each state of a table has its row, no state follows itself, and what is final leads nowhere."""
    kind = type(next(iter(table)))

    assert set(kind) == set(table)
    assert all(state not in after for state, after in table.items())
    assert all(after <= set(table) for after in table.values())


def test_every_task_ends():
    """From each state each way of ending can be reached, and only final states lead nowhere."""
    for state in TaskState:
        assert state in FINAL or FINAL <= reachable(TASK_TRANSITIONS, state)
        assert state.is_final == (not TASK_TRANSITIONS[state])


@given(views)
def test_every_view_has_a_state(view):
    """Whatever the sources say together, there is one state for it, and asking again gives the same."""
    assert view.state is TaskView(**attrs.asdict(view, recurse=False)).state


@given(views, st.sampled_from(Outcome))
def test_an_outcome_outranks_everything(view, outcome):
    """Once the outcome is written down nothing else is looked at; without it no state is final."""
    ended = attrs.evolve(view, record=attrs.evolve(view.record, outcome=outcome))
    going = attrs.evolve(view, record=attrs.evolve(view.record, outcome=None))

    assert ended.state is {
        Outcome.SUCCEEDED: TaskState.COMPLETED,
        Outcome.CANCELLED: TaskState.CANCELLED,
    }.get(outcome, TaskState.FAILED)
    assert not going.state.is_final


@given(views)
def test_a_cancel_outranks_what_is_seen(view):
    """A task that was cancelled is ending, whatever its bid and nodes still do."""
    cancelled = attrs.evolve(view.record, outcome=None, cancel_asked=True)

    assert TaskState.ENDING is attrs.evolve(view, record=cancelled).state


LEAVING = (NodeState.LEAVING, NodeState.LEAVING)
#: word, state of the bid, nodes, what they say.
SEEN = [
    (TaskState.BIDDING, BidState.OPEN, None, ()),
    (TaskState.PAUSED, BidState.PAUSED, UP, reports(RUNNING, RUNNING)),
    (TaskState.PREEMPTING, BidState.PREEMPTING, UP, reports(RUNNING, RUNNING)),
    (
        TaskState.PREEMPTING,
        BidState.ALLOCATED,
        allocation(*LEAVING, notice=NoticeKind.PREEMPTION),
        (),
    ),
    (
        TaskState.RELOCATING,
        BidState.ALLOCATED,
        allocation(*LEAVING, notice=NoticeKind.RELOCATION),
        (),
    ),
    (TaskState.RELOCATING, BidState.RELOCATING, UP, ()),
    (TaskState.STARTING, BidState.ALLOCATED, None, ()),
    (
        TaskState.STARTING,
        BidState.ALLOCATED,
        allocation(NodeState.RUNNING, NodeState.STARTING),
        reports(RUNNING),
    ),
    (TaskState.STARTING, BidState.ALLOCATED, UP, ()),
    (TaskState.STARTING, BidState.ALLOCATED, UP, reports(WAITING, WAITING)),
    (TaskState.RUNNING, BidState.ALLOCATED, UP, reports(RUNNING, WAITING)),
    (TaskState.RUNNING, BidState.ALLOCATED, UP, reports(0, RUNNING)),
    (TaskState.RUNNING, BidState.ALLOCATED, UP, reports(0)),
    (TaskState.ENDING, BidState.TERMINATED, UP, reports(RUNNING, RUNNING)),
    (TaskState.ENDING, BidState.ALLOCATED, UP, reports(0, 0)),
    (TaskState.ENDING, BidState.ALLOCATED, UP, reports(RUNNING, 3)),
    (TaskState.ENDING, BidState.PREEMPTING, UP, reports(0, 0)),
    (TaskState.ENDING, BidState.OPEN, None, reports(0, 0)),
]


@pytest.mark.parametrize(("state", "bid_state", "nodes", "said"), SEEN)
def test_what_is_seen_has_its_word(state, bid_state, nodes, said):
    """Each way of seeing a placed task has one word for it."""
    assert state is task_state(record(), bid(bid_state), nodes, said)


def test_what_was_not_placed_has_its_word():
    """Before there is a bid the record's step tells; a bid that lost its nodes is preempted, not new."""
    assert TaskState.HELD is task_state(record(step=Step.HELD), None, None, ())
    assert TaskState.PENDING is task_state(record(step=Step.INTENDED), None, None, ())
    assert TaskState.PREEMPTED is task_state(record(began_at=EPOCH), bid(BidState.OPEN), None, ())


def test_the_first_node_may_be_all_that_counts():
    """A task that runs on its first node ends with it, and the others' silence doesn't matter."""
    alone = record(spec=TaskSpec(command="true", num_instances=2, run_on=RunOn.FIRST_NODE))
    going = task_state(alone, bid(BidState.ALLOCATED), UP, reports(RUNNING, WAITING))
    done = task_state(alone, bid(BidState.ALLOCATED), UP, reports(0, WAITING))

    assert (TaskState.RUNNING, TaskState.ENDING) == (going, done)


@given(st.data())
def test_states_follow_each_other_as_the_table_says(data):
    """Along any life of a bid and its nodes, each state seen can follow the one seen before."""
    now = record(step=data.draw(st.sampled_from([Step.HELD, Step.INTENDED])))
    seen: Bid | None = None
    nodes: Allocation | None = None
    said: tuple[RunReport, ...] = ()
    last = task_state(now, seen, nodes, said)
    for _ in range(data.draw(st.integers(1, 12))):
        if now.step is Step.HELD:
            now = attrs.evolve(now, step=Step.INTENDED)
        elif seen is None:
            now, seen = attrs.evolve(now, step=Step.PLACED), bid(BidState.OPEN)
        else:
            after = sorted(BID_TRANSITIONS[seen.state] | {seen.state})
            seen = bid(data.draw(st.sampled_from(after)))
        if seen is not None and seen.state is BidState.ALLOCATED:
            now = attrs.evolve(now, began_at=EPOCH)
            up = data.draw(st.sampled_from([NodeState.STARTING, NodeState.RUNNING]))
            nodes = allocation(up, NodeState.RUNNING)
            if (
                up is NodeState.RUNNING
                and task_state(now, seen, nodes, said) is not TaskState.ENDING
            ):
                said = reports(*data.draw(st.sampled_from(PHASES)))
        elif seen is not None and seen.state in (BidState.OPEN, BidState.PAUSED):
            nodes = None
            said = tuple(each for each in said if each.exit_code is not None)
        if data.draw(st.integers(0, 9)) == 0:
            now = attrs.evolve(now, cancel_asked=True)
        if data.draw(st.integers(0, 14)) == 0:
            now = attrs.evolve(now, outcome=now.outcome or data.draw(st.sampled_from(Outcome)))
        state = task_state(now, seen, nodes, said)

        assert state is last or state in reachable(TASK_TRANSITIONS, last)
        last = state


@given(st.sampled_from(BidState), st.sampled_from(BidState))
def test_a_bid_may_be_seen_again_later(seen, now):
    """What may follow is what some number of arrows leads to, and standing still."""
    assert may_follow(seen, now) == (seen is now or now in reachable(BID_TRANSITIONS, seen))
