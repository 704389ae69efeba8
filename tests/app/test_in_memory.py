"""Functions of an App in a user's own test suite: on a pretend cloud in memory, calls run in this process."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from textwrap import shorten

import pytest

import flow
from flow_adapters.python._pool_code import packed_function
from flow_core.node.call.pickling import RemoteTraceback
from tests.app.functions import OutOfLuck, Point, act, app, double, later, plain, second_time


@pytest.fixture(autouse=True)
def closed():
    """End the App's workers with each test."""
    with app:
        yield


def len_of(text: str) -> str:
    """Say how long something is."""
    return f"length of what {len(text)}"


def test_a_remote_call_returns_what_the_function_returns(session):
    """`remote` gives the value, and a worker's task was granted for it."""
    assert 8 == double.remote(4)
    assert [flow.TaskState.RUNNING] == [each.state for each in flow.tasks()]


def test_a_second_call_finds_its_worker_warm(session, clock):
    """Two calls take one task, and the second no time of the cloud's."""
    double.remote(1)
    before = clock.now()
    double.remote(2)

    assert before == clock.now()
    assert 1 == len(flow.tasks())


def test_calling_it_as_it_is_or_with_local_runs_it_here():
    """Neither asks any provider."""
    assert 4 == double(2)
    assert 4 == double.local(2)


def test_the_exception_is_the_functions_own(session):
    """The original type comes back with its attributes, caused by the remote traceback."""
    with pytest.raises(OutOfLuck) as caught:
        act.remote("raise")

    assert (7, "luck") == (caught.value.number, caught.value.why)
    assert isinstance(caught.value.__cause__, RemoteTraceback)
    assert "in act" in str(caught.value.__cause__)


def test_a_value_of_the_projects_class_is_of_the_callers_class(session):
    """What comes back equals what is made here."""
    assert Point(3) == act.remote("point")


def test_what_cannot_be_pickled_is_named_by_its_path(session):
    """An argument is refused before anything is sent; a result says where the culprit is."""
    import threading

    with pytest.raises(flow.InvalidRequest, match=r"args\[0\]\['m'\] can't be pickled"):
        double.remote({"m": threading.Lock()})  # type: ignore[arg-type]
    with pytest.raises(flow.InvalidRequest, match=r"the result\['a'\]\[1\] can't be pickled"):
        act.remote("lock")


def test_a_failed_call_is_tried_again(session, tmp_path):
    """With `retries=1` the second try's value is the result."""
    first, second = second_time.remote(str(tmp_path / "marker"))

    assert first == second > 0


def test_json_results_need_no_pickle(session):
    """JSON gives lists for tuples, builtin exceptions by name, and an error that names what it has no word for."""
    assert [1, 2] == plain.remote((1, 2))
    with pytest.raises(KeyError):
        plain.remote("raise")
    with pytest.raises(flow.InvalidRequest, match=r"the result\['a'\] .*JSON has no set"):
        plain.remote("set")


def test_what_a_call_prints_is_in_its_logs(session):
    """`logs()` has the lines of this call alone."""
    double.spawn(1, says="other").result()
    call = double.spawn(1, says="one\ntwo")

    assert ["one", "two"] == call.logs()
    assert (True, False, False) == (call.done(), call.running(), call.cancel())


def test_map_keeps_the_order_and_collects_exceptions(session):
    """Results are in the inputs' order; with `return_exceptions` failures are among them."""
    assert [0, 2, 4] == list(double.map(range(3), concurrency=2))
    assert [2, 4] == sorted(double.map([1, 2], in_order=False))
    assert [6] == list(double.starmap([(3,)]))
    odd = list(act.map(["point", "raise"], return_exceptions=True))
    assert Point(3) == odd[0]
    assert isinstance(odd[1], OutOfLuck)


def test_gather_returns_results_in_the_calls_order(session):
    """`flow.gather` waits for all."""
    assert [2, 4] == flow.gather(double.spawn(1), double.spawn(2))


def test_it_works_inside_a_running_event_loop(session):
    """`aio.remote`, awaiting a call, and iterating over `aio.map` need no thread of the user's."""

    async def main():
        mapped = [each async for each in double.aio.map([1, 2])]
        return await double.aio.remote(1), await double.spawn(3), mapped

    assert (2, 6, [2, 4]) == asyncio.run(main())


def test_a_coroutine_function_runs_to_its_end(session):
    """`async def` is called like any other, inside a running event loop too; here it is a coroutine."""

    async def main():
        many = [each async for each in later.aio.starmap([(1,), (2,)])]
        return await later.aio.remote(3), many, await later.local(4)

    assert 2 == later.remote(1)
    assert (6, [2, 4], 8) == asyncio.run(main())


def test_every_way_to_call_works_as_the_guide_says(session):
    """The App of the docs, call after call."""
    guides = flow.App("sweep", image="python:3.12", env={"SEED": "1"})

    @guides.function(gpu="a100", max_price_per_hour=4.0, retries=2, timeout=3600)
    def train(lr: float, *, steps: int = 100) -> dict[str, float]:
        return {"loss": lr * steps}

    with guides:
        call = train.spawn(0.5)
        mapped = list(train.map([0.5, 1, 2], concurrency=8, return_exceptions=True))

        assert {"loss": 50} == train.local(0.5) == call.result(timeout=60) == mapped[0]
        assert {"loss": 5} == train.remote(0.5, steps=10)
        assert [{"loss": 100}] == list(train.starmap([(1,)]))
        assert [{"loss": 50}, {"loss": 100}] == flow.gather(call, train.spawn(1))
        assert ([], False) == (call.logs(), call.cancel())
    spec = flow.task(call.worker).view.record.spec
    assert ("a100", {"SEED": "1"}) == (spec.instance_type.gpu, dict(spec.env))


def test_the_projects_code_travels_and_installed_code_is_named():
    """What isn't installed goes by value; an installed package must be on the node, and goes by its name."""
    here, installed = packed_function(len_of, "len_of"), packed_function(shorten, "shorten")

    assert b"length of what" in here.data
    assert b"textwrap" in installed.data
    assert len(installed.data) < 100


def test_progress_is_a_line_that_counts(session, capfd):
    """Calls that ended are counted, and those that failed among them."""
    list(act.map(["point", "raise", "point"], return_exceptions=True, progress=True))

    assert "\ract: 0 of 3\ract: 1 of 3" in capfd.readouterr().err.replace(", 1 failed", "")


def test_a_preempted_worker_is_waited_for(session, pretend_cloud, clock):
    """After an outbid the next call begins once the worker runs again."""
    double.remote(1)
    pretend_cloud.outbid(flow.tasks()[0].name, lasts="20m")
    clock.advance(minutes=10)
    assert flow.tasks()[0].state is not flow.TaskState.RUNNING

    assert 4 == double.remote(2)


def test_no_capacity_is_the_calls_error(session):
    """What the provider refuses is raised by the call."""
    none = flow.App("none")

    @none.function(gpu="a100", max_price_per_hour=0.000001)
    def never() -> None: ...

    with pytest.raises(flow.FlowError):
        never.remote()


def test_wrong_options_are_told_at_once():
    """Each problem of a function's options is in the message."""
    with pytest.raises(flow.InvalidRequest) as caught:
        app.function(retries=-1, concurrency=0, result_format="xml", gpuz="x")  # type: ignore[call-overload]

    assert {"retries", "concurrency", "result_format", "gpuz"} == set(caught.value.problems)
    with pytest.raises(flow.InvalidRequest, match=r"is Python 3\.1, and this is 3\.\d\d"):
        flow.App("old", environment="python:3.1")


def test_importing_a_module_with_an_app_does_nothing(tmp_path):
    """No file is made or read in Flow's folders, and neither a provider nor a pickler is loaded."""
    code = (
        "import sys, tests.app.functions\n"
        "bad = {'cloudpickle', 'asyncssh', 'httpx', 'sqlite3', 'flow_adapters.wiring'} & set(sys.modules)\n"
        "sys.exit(str(bad) if bad else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (0, "") == (done.returncode, done.stderr)
    assert [] == list(tmp_path.iterdir())
