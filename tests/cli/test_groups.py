"""Arrays on the command line: one line that unfolds, a log for each index, one word that ends them all."""

from __future__ import annotations

from pathlib import Path

import pytest

from flow_cli.show.layout import plain
from flow_cli.show.live import WIDE, Frame, live_screen
from flow_core.domain.status import TaskState
from flow_core.services.overviews import Overviews
from flow_core.services.session import Session
from flow_providers.mock import PretendCloud
from tests.cli.conftest import Flow

ARRAY = "#!/bin/bash\n#SBATCH -J fold -a 0-9%3 --gres=gpu:a100:1\necho $SLURM_ARRAY_TASK_ID\n"


@pytest.fixture
def script(tmp_path: Path) -> str:
    """A script with an array of ten, three at once."""
    path = tmp_path / "fold.slurm"
    path.write_text(ARRAY, "utf-8")
    return str(path)


def test_an_array_runs_to_its_end(flow: Flow, script: str, session: Session):
    """Each index is a task with its variables and a log of its own; the table has them all, the list one line."""
    done = flow("submit", script, "x", "--no-code")

    assert (0, 10) == (done.code, done.out.count("completed\n") + done.out.count("✓ completed"))
    assert "fold: 10 tasks, 3 at once" in done.err
    env = session.tasks.record("fold_7").spec.env
    assert ("7", "10") == (env["SLURM_ARRAY_TASK_ID"], env["SLURM_ARRAY_TASK_COUNT"])
    assert 10 == len({each.spec.env["SLURM_JOB_ID"] for each in session.groups.members("fold")})
    listed = flow("status").out
    assert "fold ×10" in listed
    assert "✓ 10" in listed
    assert "fold.slurm x" in listed
    assert "fold_7" not in listed
    assert 0 == flow("logs", "fold_7").code


def test_a_list_folds_an_array_and_its_name_unfolds_it(
    flow: Flow, script: str, session: Session, pretend_cloud: PretendCloud
):
    """While it goes on, the one line says how many are where; JSON has the tasks and the group."""
    pretend_cloud.on("slurm_script", takes="10h")
    left = flow("submit", script, "--no-code", "--detach")
    for view in session.groups.follow("fold"):
        if view.states[TaskState.HELD] == 7 and view.states[TaskState.HELD] != 10:
            break

    assert "fold\n" == left.out
    assert "◌ " in flow("status").out
    (whole,) = flow("status", "fold", "--json").documents
    assert {"held": 7} == {
        state: count for state, count in whole["groups"][0]["states"].items() if state == "held"
    }
    assert 10 == len(whole["tasks"])
    overview = Overviews(session.ports).look()
    for width in (80, WIDE):
        screen = plain(live_screen(overview, Frame(provider="mock"), width=width, height=24))
        assert "fold ×10" in screen
        assert "7 held" in screen
        assert "fold_" not in screen
    assert "fold_7" in plain(
        live_screen(Overviews(session.ports, task="fold").look(), Frame(provider="mock"), width=80, height=40)
    )  # fmt: skip
    ended = flow("cancel", "fold")
    assert "fold: 10 tasks are cancelled" in ended.err
    *_, last = session.groups.follow("fold")
    assert {TaskState.CANCELLED: 10} == last.states
    assert "fold had ended already" in flow("cancel", "fold").err


def test_a_watch_tells_how_many_are_where(flow: Flow, script: str):
    """Without a terminal a change of an array is one line for all of it; by its name, one for each of its tasks."""
    flow("submit", script, "--no-code", "--detach")
    said = [line.split("  ", 1)[1] for line in flow("status", "--watch").out.splitlines()]
    (last, *_) = flow("status", "fold", "--watch", "--json").documents

    assert "fold ×10  10 held" == said[0]
    assert "fold ×10  10 completed" == said[-1]
    assert not [line for line in said if line.startswith("fold_")]
    assert 10 == len(last["tasks"])


def test_one_task_of_an_array_is_cancelled_by_its_name(flow: Flow, script: str, session: Session):
    """The others go on, and the whole ends with 1 where one ended for another reason than its command."""
    flow("submit", script, "--no-code", "--detach")
    flow("cancel", "fold_9")
    *_, view = session.groups.follow("fold")

    assert {TaskState.COMPLETED: 9, TaskState.CANCELLED: 1} == view.states


def test_a_script_waits_for_another_by_its_number(flow: Flow, script: str, session: Session):
    """What an array's number names is waited for as a whole; `explain` tells it, and refuses what nobody has."""
    flow("submit", script, "--no-code", "--detach")
    number = session.groups.members("fold")[0].spec.env["SLURM_ARRAY_JOB_ID"]
    done = flow(
        "submit", script, "--no-code", "--detach", "--name", "next", "--sbatch", f"-a 1 -d afterok:{number}",
    )  # fmt: skip

    assert 0 == done.code, done.err
    assert ["afterok:fold"] == [str(each) for each in session.tasks.record("next_1").spec.after]
    assert 2 == flow("slurm", "explain", script, "--sbatch", "-d afterok:1").code


def test_a_second_of_one_name_waits_for_the_first(flow: Flow, script: str, session: Session):
    """With singleton, tasks of one name come one after the other, the second under a number of its own."""
    for _ in range(3):
        assert 0 == flow("submit", script, "--no-code", "-d", "--sbatch", "-d singleton -a 0").code
    waits = [str(each) for each in session.tasks.record("fold-3_0").spec.after]
    *_, last = session.groups.follow("fold-3")

    assert ["afterany:fold", "afterany:fold-2"] == sorted(waits)
    assert {TaskState.COMPLETED: 1} == last.states


def test_one_index_makes_a_file(flow: Flow, script: str):
    """--to yaml writes one task, so an array must be brought down to one index."""
    assert 2 == flow("slurm", "explain", script, "--to", "yaml").code
    one = flow("slurm", "explain", script, "--to", "yaml", "--sbatch", "-a 7")
    assert "SLURM_ARRAY_TASK_ID: '7'" in one.out.replace('"', "'")
