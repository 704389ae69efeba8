"""Functions of an App on nodes that are real processes, over a real talk."""

from __future__ import annotations

import os
import sys

import pytest

import flow
from tests.app.functions import (
    OutOfLuck,
    Point,
    act,
    app,
    counted,
    double,
    made,
    prefix,
    second_time,
    slow,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="the mock's nodes need POSIX processes"),
]
PATIENCE_S = 60.0


@pytest.fixture(autouse=True)
def closed(on_processes):
    """End the Apps' workers with each test."""
    with app, made:
        yield


def test_calls_run_in_one_process_of_the_node():
    """Two calls have one process, which isn't this one, and what they print comes back."""
    first, second = act.remote("pid"), act.remote("pid")
    call = double.spawn(2, says="hello")

    assert first == second != os.getpid()
    assert (4, ["hello"]) == (call.result(PATIENCE_S), call.logs())
    assert Point(3) == act.remote("point")


def test_a_workers_end_gives_its_cost_back():
    """After the App is closed no task of it is live."""
    call = double.spawn(1)
    call.result(PATIENCE_S)
    app.close()

    assert [flow.TaskState.CANCELLED] == [each.state for each in flow.tasks()]


def test_errors_come_back_from_the_node():
    """The project's exception, a result that can't be pickled, a process that died, a call that took too long."""
    with pytest.raises(OutOfLuck) as caught:
        act.remote("raise")
    assert "in act" in str(caught.value.__cause__)
    with pytest.raises(flow.InvalidRequest, match=r"the result\['a'\]\[1\]"):
        act.remote("lock")
    with pytest.raises(flow.TaskFailed, match="the process that ran act died"):
        act.remote("die")
    with pytest.raises(flow.TimedOut, match="longer than"):
        slow.remote()
    assert 4 == double.remote(2)


def test_a_failed_item_is_tried_again(tmp_path):
    """A call that failed once, and may be tried again, comes to its result."""
    list(double.map(range(40), concurrency=2))
    call = second_time.spawn(str(tmp_path / "marker"))

    assert call.result(PATIENCE_S) > 0


def test_cancelling_ends_what_runs(tmp_path):
    """A cancelled call raises Cancelled at once, and its node serves the next call."""
    began = tmp_path / "began"
    call = act.spawn("sleep", str(began))
    clock = flow.connect().ports.clock
    for _ in range(600):
        if began.exists():
            break
        clock.sleep(0.1)
    assert (True, True) == (call.running(), call.cancel())
    with pytest.raises(flow.Cancelled):
        call.result(PATIENCE_S)

    assert call.cancelled()
    assert 4 == double.remote(2)
    assert 1 == len(flow.tasks())


def test_a_killed_drivers_run_is_resumed(tmp_path):
    """What was finished before the driver went is not computed again; the rest is."""
    folder = str(tmp_path)
    results = counted.starmap([(each, folder) for each in range(40)], concurrency=1)
    taken = [next(results) for _ in range(3)]
    app.close()  # as its end does to a program, but for what it would still drop
    finished = {each.name for each in tmp_path.iterdir() if each.name.isdigit()}
    resumed = app.resume(results.run_id)

    assert [0, 1, 4] == taken
    assert [each**2 for each in range(40)] == list(resumed)
    assert finished
    results.close()
    assert all((tmp_path / each).read_text() == "x" for each in ("0", "1", "2"))
    with pytest.raises(flow.NotFound):
        app.resume(results.run_id)


def test_an_environment_is_made_of_this_pythons_version():
    """Without `image` calls run in a uv environment with our minor version, which holds the pickler."""
    found = prefix.remote()

    assert "/envs/" in found
