"""What users do with tasks, over a cloud in memory."""

from __future__ import annotations

from concurrent.futures import CancelledError
from datetime import timedelta
from itertools import accumulate, takewhile

import pytest
from attrs import evolve

import flow
from flow_adapters.wiring import connect_in_memory
from flow_core.domain.record import Outcome
from flow_core.domain.status import TaskState
from flow_core.domain.task import TaskSpec
from flow_core.domain.task_parts import Dependency, Mount
from flow_core.errors import InvalidRequest, NameTaken, NoCapacity, PriceTooLow, Unsupported
from flow_core.services.polling import intervals
from flow_core.services.ports import Defaults
from flow_core.services.session import Session
from flow_providers.mock import PretendCloud


def test_a_fresh_machine_recovers_a_tasks_name(pretend_cloud: PretendCloud, session: Session):
    """A live bid that another machine placed is listed under the name its user gave it."""
    flow.run("train", name="resnet", session=session)
    fresh = connect_in_memory(pretend_cloud)

    assert ["resnet"] == [name for name, _ in fresh.tasks.elsewhere()]
    assert [] == session.tasks.elsewhere()


def test_an_image_without_the_interpreter_is_named_before_the_bid(pretend_cloud: PretendCloud):
    """A plan where images are used says that the command's interpreter isn't in the one that was named."""
    limits = evolve(pretend_cloud.provider.limits, image_note="", images_by_kit=True)
    pretend_cloud.provider = evolve(pretend_cloud.provider, limits=limits)
    spec = TaskSpec(command="python train.py", image="nvidia/cuda:12.1.0-runtime-ubuntu22.04")

    (note,) = connect_in_memory(pretend_cloud).tasks.plan(spec).notes

    assert note.startswith("nvidia/cuda:12.1.0-runtime-ubuntu22.04 has no Python")


def test_a_task_past_its_time_ends(pretend_cloud: PretendCloud, session: Session):
    """max_run_time ends a task that has held nodes that long, to within a market's round."""
    pretend_cloud.on("train", takes="9h")
    task = flow.run("train", max_run_time="1h", session=session)

    assert TaskState.FAILED is task.wait()
    record = session.tasks.record(task.name)
    assert Outcome.TIMED_OUT is record.outcome
    assert record.began_at is not None
    assert record.ended_at is not None
    assert timedelta(hours=1) <= record.ended_at - record.began_at < timedelta(hours=1, minutes=5)


def test_a_notice_that_runs_out_makes_nobody_look_more_often(
    pretend_cloud: PretendCloud, session: Session, clock
):
    """While only the time that is left changes, looks come as seldom as when nothing does."""
    pretend_cloud.on("train", takes="2h", checkpoints=True)
    task = flow.run("train", session=session)
    clock.advance(hours=1)
    pretend_cloud.outbid(task.name)
    notice = session.tasks.view(task.name).allocation.notice
    left_s = (notice.deadline - clock.now()).total_seconds()
    due = list(takewhile(lambda at_s: at_s < left_s, accumulate(intervals(60.0))))
    seen = [each.view.state for each in session.tasks.follow(task.name)]

    # The watcher writes it down once, which begins anew.
    assert len(due) <= seen.count(TaskState.PREEMPTING) <= 2 * len(due)


def test_a_task_never_costs_more_than_its_ceiling(pretend_cloud: PretendCloud, session: Session):
    """max_spend ends a task before its cost can pass the ceiling."""
    pretend_cloud.on("train", takes="99h")
    task = flow.run("train", instance_type="8xh100", max_spend=20, session=session)

    task.wait()

    assert Outcome.OVER_BUDGET is session.tasks.record(task.name).outcome
    assert flow.Spend.parse(10) < task.cost <= flow.Spend.parse(20)


def test_a_task_waits_for_another(pretend_cloud: PretendCloud, session: Session):
    """A task that depends on another bids only after that one has succeeded."""
    pretend_cloud.on("prepare", takes="1h")
    first = flow.run("prepare", name="prepare", session=session)
    second = flow.run("train", after=[first], session=session)

    assert TaskState.HELD is second.state
    assert 0 == second.result()
    ended, began = (
        session.tasks.record(first.name).ended_at,
        session.tasks.record(second.name).began_at,
    )
    assert ended is not None
    assert began is not None
    assert ended <= began


def test_a_task_whose_upstream_failed_never_bids(pretend_cloud: PretendCloud, session: Session):
    """When the awaited task fails, the waiting one fails too, names it, and has cost nothing."""
    pretend_cloud.on("prepare", exits=3)
    flow.run("prepare", name="prepare", session=session)
    task = session.tasks.submit(TaskSpec(command="train", after=(Dependency("prepare"),)))

    view = session.tasks.wait(task.name)

    assert TaskState.FAILED is view.state
    assert "'prepare'" in view.record.reason
    assert view.record.bid_id is None


def test_each_upstream_that_failed_is_named(pretend_cloud: PretendCloud, session: Session):
    """Whatever ended amiss is in the reason, at once, though another that is waited for still runs."""
    pretend_cloud.on("bad", exits=3)
    pretend_cloud.on("long", takes="5h")
    upstream = [flow.run(each, name=each, session=session) for each in ("long", "good")]
    upstream += [flow.run("bad", name=f"bad-{each}", session=session) for each in (1, 2)]
    task = flow.run("train", after=[*upstream, "afterany:bad-1"], session=session)

    assert TaskState.FAILED is task.wait()
    assert "'bad-1', which it waits for, ended as failed; 'bad-2', " in task.view.record.reason
    assert TaskState.RUNNING is upstream[0].state


def test_the_default_limit_is_half_more_than_the_price(session: Session):
    """Without a limit of the user's, 1.5 times the current price is bid."""
    plan = session.tasks.plan(TaskSpec(command="true", instance_type=flow.InstanceShape("h100", 8)))

    assert plan.quote.price * 3 == plan.limit * 2


def test_the_configured_ceiling_caps_the_default_limit(pretend_cloud: PretendCloud):
    """A configured ceiling under 1.5 times the price becomes the limit."""
    session = connect_in_memory(pretend_cloud, defaults=Defaults(ceiling=flow.Price.parse(9)))

    plan = session.tasks.plan(TaskSpec(command="true", instance_type=flow.InstanceShape("h100", 8)))

    assert flow.Price.parse(9) == plan.limit


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"num_instances": 9_999, "instance_type": "8xh100"}, NoCapacity, "9999 × 8xh100"),
        ({"instance_type": "t4"}, NoCapacity, "t4"),
        ({"region": "mars-1", "instance_type": "8xh100"}, NoCapacity, "mars-1"),
        ({"max_price_per_hour": 0.01, "instance_type": "8xh100"}, PriceTooLow, "under the least"),
        ({"mounts": {"/d": "s3://bucket/x"}}, InvalidRequest, "can't mount 's3://bucket/x'"),
        ({"mounts": {"/d": "volume://nope"}}, InvalidRequest, "'nope'"),
    ],
)
def test_what_cannot_be_served_is_refused_before_anything_is_placed(
    session: Session, changes: dict[str, object], kind: type[flow.FlowError], words: str
):
    """A request that no market can serve names what is so, and leaves neither bid nor record."""
    with pytest.raises(kind) as refused:
        flow.run("true", session=session, **changes)  # type: ignore[arg-type]

    assert words in str(refused.value)
    assert [] == list(session.provider.market.bids())
    assert [] == list(session.ports.journal.recent(9))


def test_a_volume_in_use_stays(session: Session):
    """A volume that a live task mounts can't be deleted, and the refusal names the task."""
    volume = session.storage.create(capacity_gb=10, name="data")
    spec = TaskSpec(command="true", name="user", mounts=(Mount("/data", "volume://data"),))
    session.tasks.submit(spec)

    with pytest.raises(flow.InUse, match="user"):
        session.storage.delete("data")

    session.tasks.cancel("user")
    session.ports.clock.sleep(600)
    assert volume == session.storage.delete("data")


def test_a_handle_behaves_as_a_future(pretend_cloud: PretendCloud, session: Session):
    """result(), exception(), cancelled() and done() say what concurrent.futures' say."""
    pretend_cloud.on("fails", exits=7)
    pretend_cloud.on("long", takes="9h")
    failed = flow.run("fails", session=session)
    with pytest.raises(flow.TaskFailed) as failure:
        failed.result()
    long = flow.run("long", session=session)
    with pytest.raises(TimeoutError):
        long.result(timeout=60)
    assert long.cancel()
    with pytest.raises(CancelledError):
        long.result()

    assert 7 == failure.value.exit_code == failed.exit_code
    assert isinstance(failed.exception(), flow.TaskFailed)
    assert (True, True, False) == (long.done(), long.cancelled(), long.cancel())
    assert not long.running()


def test_the_seed_line_runs(session: Session):
    """The first line of Python that users see submits four instances with its environment."""
    task = flow.run(
        command="torchrun --nproc_per_node=8 train.py",
        instance_type="8xa100",
        num_instances=4,
        env={"NCCL_DEBUG": "INFO"},
        session=session,
    )

    assert TaskState.COMPLETED is task.wait()
    spec = task.view.record.spec
    assert (4, "INFO") == (spec.num_instances, spec.env["NCCL_DEBUG"])


def test_a_second_live_task_cannot_take_a_name(session: Session):
    """Names are kept as given, never suffixed: the second is refused."""
    flow.run("true", name="one", session=session)

    with pytest.raises(NameTaken):
        flow.run("true", name="one", session=session)


def test_a_provider_without_volumes_says_so(pretend_cloud: PretendCloud):
    """Asking a role that a provider lacks is told in words."""
    from attrs import evolve

    pretend_cloud.provider = evolve(pretend_cloud.provider, volumes=None)
    session = connect_in_memory(pretend_cloud)

    with pytest.raises(Unsupported, match="mock offers no volumes"):
        session.storage.volumes()
