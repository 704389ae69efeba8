"""Groups of tasks: so many at once, all or none written down, ended and waited for as one."""

from __future__ import annotations

from collections import deque

import pytest

import flow
from flow_core.domain.record import Outcome, Step
from flow_core.domain.status import TaskState
from flow_core.domain.task import TaskSpec
from flow_core.domain.task_parts import Condition, Dependency
from flow_core.errors import InvalidRequest, NameTaken, NotFound
from flow_core.services.session import Session
from flow_providers.mock import PretendCloud


def specs(count: int, *, command: str = "train", name: str = "g") -> list[TaskSpec]:
    """Tasks that differ in name and a variable."""
    return [
        TaskSpec(command=command, name=f"{name}_{place}", env={"PLACE": str(place)})
        for place in range(count)
    ]


def test_no_more_than_so_many_run_at_once(pretend_cloud: PretendCloud, session: Session):
    """Of ten tasks with three at once, never more than three hold a bid, and all succeed."""
    pretend_cloud.on("train", takes="10m")
    session.groups.submit(specs(10), name="g", at_once=3)
    most = 0
    for view in session.groups.follow("g"):
        begun = [each for each in view.views if each.record.step is not Step.HELD]
        most = max(most, sum(each.record.is_live for each in begun))

    assert {TaskState.COMPLETED: 10} == view.states
    assert 3 == most


def test_a_place_is_taken_by_whoever_is_next(pretend_cloud: PretendCloud, session: Session):
    """A long task holds up none but itself: the others go on in the place that is left."""
    pretend_cloud.on("long", takes="20h")
    pretend_cloud.on("train", takes="10m")
    tasks = [TaskSpec(command="long", name="g_0"), *specs(6)[1:]]
    session.groups.submit(tasks, name="g", at_once=2)
    for view in session.groups.follow("g"):
        if view.states[TaskState.COMPLETED] == 5:
            break

    assert TaskState.RUNNING is view.views[0].state


def test_a_group_is_written_whole_or_not_at_all(session: Session):
    """Where one name is taken, no task of the group exists."""
    flow.run("train", name="g_2", session=session)
    with pytest.raises(NameTaken):
        session.groups.submit(specs(4), name="g")

    assert ["g_2"] == list(session.ports.journal.names("g_"))


def test_a_group_has_a_name_of_its_own(session: Session):
    """Neither a live group nor a live task may have a group's name, nor a task a live group's."""
    session.groups.submit(specs(2), name="g")
    flow.run("train", name="single", session=session)

    for name in ("g", "single"):
        with pytest.raises(NameTaken):
            session.groups.submit(specs(2, name="other"), name=name)
    with pytest.raises(NameTaken):
        flow.run("train", name="g", session=session)
    with pytest.raises(InvalidRequest):
        session.groups.submit([], name="none")


def test_a_group_is_cancelled_whole(pretend_cloud: PretendCloud, session: Session):
    """Tasks that run and tasks that wait are all ended, and none begins afterwards."""
    pretend_cloud.on("train", takes="10h")
    session.groups.submit(specs(5), name="g", at_once=2)
    for view in session.groups.follow("g"):
        if view.states[TaskState.RUNNING] == 2:
            break
    session.groups.cancel("g")
    last = deque(session.groups.follow("g"), maxlen=1).pop()

    assert {TaskState.CANCELLED: 5} == last.states
    assert 2 == sum(each.record.bid_id is not None for each in last.views)


def test_names_lead_to_tasks_and_groups(session: Session):
    """A task's name is that task, a group's name all of it; the newest of two groups counts."""
    session.groups.submit(specs(2), name="g")
    session.groups.cancel("g")
    deque(session.groups.follow("g"))
    newer = session.groups.submit(specs(3), name="g")

    assert ["g_1"] == [each.name for each in session.groups.called("g_1")]
    assert [each.token for each in newer] == [each.token for each in session.groups.called("g")]
    with pytest.raises(NotFound, match="'other'"):
        session.groups.called("other")


@pytest.mark.parametrize(
    ("condition", "fails", "outcome"),
    [
        (Condition.OK, False, Outcome.SUCCEEDED),
        (Condition.OK, True, Outcome.FAILED),
        (Condition.NOT_OK, True, Outcome.SUCCEEDED),
        (Condition.NOT_OK, False, Outcome.FAILED),
        (Condition.ANY, True, Outcome.SUCCEEDED),
    ],
)
def test_a_task_waits_for_a_whole_group(
    pretend_cloud: PretendCloud, session: Session, condition: Condition, fails: bool, outcome: Outcome
):  # fmt: skip
    """Success means that all succeeded, failure that one failed; only then the task bids."""
    pretend_cloud.on("bad", exits=3)
    last = TaskSpec(command="bad" if fails else "train", name="g_2")
    session.groups.submit([*specs(2), last], name="g")
    task = session.tasks.submit(TaskSpec(command="after", after=(Dependency("g", condition),)))
    record = session.tasks.wait(task.name).record

    assert outcome is record.outcome
    if outcome is Outcome.FAILED:
        assert "'g'" in record.reason


def test_a_task_waits_for_anothers_begin(pretend_cloud: PretendCloud, session: Session):
    """`after:` is met once the other has nodes, long before its end; of a group, once all of it has."""
    pretend_cloud.on("train", takes="50h")
    pretend_cloud.on("short", takes="1m")
    session.groups.submit(specs(2), name="g")
    flow.run("train", name="single", session=session)
    for other in ("g", "single"):
        after = (Dependency(other, Condition.BEGUN),)
        task = session.tasks.submit(TaskSpec(command="short", after=after))

        assert TaskState.COMPLETED is session.tasks.wait(task.name).state
        assert session.groups.called(other)[0].began_at is not None
        assert not session.groups.called(other)[0].has_ended
