"""What the watcher does for scripts that ask, and what it doesn't."""

from __future__ import annotations

import pytest

import flow
from flow_core.domain.record import TaskRecord
from flow_core.services.outbox import ASKED_BY, LONGEST, Outbox
from flow_core.services.session import Session

SCRIPT = "#!/bin/sh\n#SBATCH -J child\ntrue\n"


@pytest.fixture
def parent(session: Session) -> TaskRecord:
    """A batch script that runs on four A100s, at a limit of its own."""
    env = {"SLURM_JOB_ID": "77"}
    task = flow.run(
        "parent",
        instance_type="4xa100",
        max_price_per_hour=30,
        env=env,
        name="parent",
        session=session,
    )
    return session.tasks.record(task.name)


def request(**more: object) -> dict[str, object]:
    """What sbatch on a node lays down."""
    return {
        "what": "sbatch", "words": [], "script": SCRIPT, "name": "child.sh", "arguments": [], "environ": {},
        "number": 1234, "key": "k" * 32, **more,
    }  # fmt: skip


def test_what_a_script_submits_is_bound_by_its_own_task(session: Session, parent: TaskRecord):
    """Without a type of its own it has the parent's instances, at the parent's limit, and tells who asked."""
    answer = Outbox(session.ports).answer(parent, request())
    child = session.tasks.record("child")

    assert (0, "1234") == (answer.code, answer.number)
    assert (parent.spec.instance_type, parent.limit) == (child.spec.instance_type, child.limit)
    assert parent.token == child.spec.env[ASKED_BY]
    assert "its script submitted child" in [each.what for each in session.tasks.history("parent")]


def test_a_second_of_one_name_has_a_number(session: Session, parent: TaskRecord):
    """Slurm lets names repeat; here the second is called after the first."""
    served = Outbox(session.ports)
    for number in (1, 2):
        assert 0 == served.answer(parent, request(number=number)).code

    assert "child-2" == session.tasks.record("child-2").name


@pytest.mark.parametrize(
    "asked",
    [
        {"what": "sudo"},
        {"what": "sbatch"},
        request(number="x"),
        request(script="#!/bin/sh\n" + "#" * LONGEST),
        request(script="echo"),
        request(words=["-N", "0"]),
        {"what": "scancel", "numbers": ["1"], "names": []},
        {"what": "scancel", "numbers": 5, "names": [["x"]]},
    ],
)
def test_what_can_not_be_done_is_said(
    session: Session, parent: TaskRecord, asked: dict[str, object]
):
    """Whatever a node asks for, it gets an answer, and nothing happens unless it was right."""
    answer = Outbox(session.ports).answer(parent, asked)

    assert ["parent"] == [each.name for each in session.ports.journal.live()]
    assert answer.code == (0 if asked.get("numbers") == 5 else 1)


def test_the_queue_has_batch_scripts_only(session: Session, parent: TaskRecord):
    """squeue tells of live tasks that have a number, with it and with their names as scripts know them."""
    flow.run("other", name="other", session=session)
    served = Outbox(session.ports)
    served.answer(parent, request(words=["-a", "3-4%1"], number=50))
    rows = served.answer(parent, {"what": "squeue"}).rows

    assert ["50_3", "50_4", "77"] == sorted(each["i"] for each in rows)
    assert {"child", "parent"} == {each["j"] for each in rows}
    assert 0 == served.answer(parent, {"what": "scancel", "numbers": ["50_4"], "names": []}).code
    assert session.tasks.record("child_4").has_ended
