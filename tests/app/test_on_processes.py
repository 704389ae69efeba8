"""Functions of an App on nodes that are real processes, over a real talk."""

from __future__ import annotations

import os
import platform
import sys

import pytest

import flow
from flow_cli.app import main
from tests.app.functions import (
    OutOfLuck,
    Point,
    act,
    app,
    counted,
    double,
    found_there,
    later,
    second_time,
    slow,
    together,
)
from tests.wheels import tiny_wheel

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="the mock's nodes need POSIX processes"),
]
PATIENCE_S = 60.0


@pytest.fixture(autouse=True)
def closed(on_processes):
    """End the App's workers with each test."""
    with app:
        yield


def test_calls_run_in_one_process_of_the_node():
    """Two calls have one process, which isn't this one, and what they print comes back."""
    first, second = act.remote("pid"), act.remote("pid")
    call = double.spawn(2, says="hello")

    assert first == second != os.getpid()
    assert (4, ["hello"]) == (call.result(PATIENCE_S), call.logs())
    assert Point(3) == act.remote("point")


def test_what_a_call_prints_is_there_while_it_runs(tmp_path):
    """`logs(follow=True)` yields each line as it comes, until the call's end."""
    call = act.spawn("tell", str(tmp_path / "go"))
    lines = call.logs(follow=True)
    first = next(lines)
    assert not call.done()
    (tmp_path / "go").touch()

    assert ["begun", "more", "end"] == [first, *lines]
    assert 6 == later.remote(3)


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


def test_a_failed_item_is_tried_again_on_another_node(tmp_path):
    """With two nodes there, the second try is not where the first was."""
    (tmp_path / "here").mkdir()
    here = list(
        together.starmap([(str(tmp_path / "here"), each) for each in (0, 1)], concurrency=2)
    )
    [(first, second)] = second_time.map([str(tmp_path / "marker")], concurrency=2)

    assert {first, second} == set(here)
    assert 2 == len(flow.tasks())


def test_a_call_whose_node_is_preempted_starts_again(tmp_path):
    """Without any retries: the loss of a node is no failure of the call's."""
    began = tmp_path / "began"
    call = act.spawn("sleep", str(began))
    until(lambda: began.exists())
    assert 0 == main(["mock", "outbid", call.worker])

    assert isinstance(call.result(PATIENCE_S), int)
    assert "xx" == began.read_text()


def test_what_is_not_sealed_with_the_calls_key_is_never_loaded():
    """Code on the node that knows the channel and not the key can't answer for a call."""
    with pytest.raises(flow.NodeUnreachable, match="not sealed with its key"):
        act.remote("forge")


def test_another_python_is_told_before_the_call_runs(tmp_path):
    """Both versions are in the message, and the function was not called."""
    (tmp_path / "sitecustomize.py").write_text(
        "import platform\nplatform.python_version = lambda: '3.99.1'\n"
    )
    other = flow.App("other", environment="none", env={"PYTHONPATH": str(tmp_path)})
    trace = tmp_path / "trace"
    with other, pytest.raises(flow.Misconfigured) as caught:
        other.function(gpu="a100")(trace.touch).remote()

    assert "3.99.1" in caught.value.message
    assert platform.python_version() in caught.value.message
    assert not trace.exists()


def test_cancelling_ends_what_runs(tmp_path):
    """A cancelled call raises Cancelled at once, and its node serves the next call."""
    began = tmp_path / "began"
    call = act.spawn("sleep", str(began))
    until(lambda: began.exists())
    assert (True, True) == (call.running(), call.cancel())
    with pytest.raises(flow.Cancelled):
        call.result(PATIENCE_S)

    assert call.cancelled()
    assert 4 == double.remote(2)
    assert 1 == len(flow.tasks())


def test_an_interrupted_run_is_resumed(tmp_path):
    """What was finished before an exception ended the loop is not computed again; a whole run is dropped."""
    results = counted.starmap([(each, str(tmp_path)) for each in (0, 1, -1, 2)], concurrency=1)
    taken = [next(results), next(results)]
    with pytest.raises(OutOfLuck):
        next(results)
    (tmp_path / "lucky").touch()
    assert [results.run_id] == app.runs()
    resumed = app.resume(results.run_id)
    with pytest.raises(flow.Conflict):
        app.resume(results.run_id)

    assert [0, 1] == taken
    assert [0, 1, 1, 4] == list(resumed)
    assert ["x", "x"] == [(tmp_path / each).read_text() for each in "01"]
    assert [] == app.runs()
    with pytest.raises(flow.NotFound):
        app.resume(results.run_id)


def test_an_environment_has_this_pythons_version_and_the_requirements(tmp_path):
    """Without `image` calls run in a uv environment with our minor version and what the App requires."""
    (tmp_path / "uv.toml").write_text(
        f"no-index = true\nfind-links = ['{tiny_wheel(tmp_path / 'wheels')}']\n"
    )
    env = {"UV_CONFIG_FILE": str(tmp_path / "uv.toml"), "UV_PYTHON_DOWNLOADS": "never"}
    with flow.App("made", requirements=["tinypkg==1.0"], env=env) as made:
        prefix, version, word = made.function(gpu="a100")(found_there).remote()

    assert "/envs/" in prefix
    assert platform.python_version_tuple()[:2] == tuple(version.split(".")[:2])
    assert "from the wheel" == word


def until(what):
    """Wait for something to be so."""
    clock = flow.connect().ports.clock
    for _ in range(600):
        if what():
            return
        clock.sleep(0.1)
    raise AssertionError("it never was so")
