"""Hypothesis strategies for the domain's values; every value they make is well formed."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from random import Random
from string import ascii_letters, ascii_lowercase, digits

from hypothesis import strategies as st

from flow_core.domain.allocation import Address, Allocation, Node, NodeState, Notice, NoticeKind
from flow_core.domain.bid import BidState, Quote
from flow_core.domain.duration import LONGEST
from flow_core.domain.money import Price, Spend
from flow_core.domain.names import new_token
from flow_core.domain.policy import Budget, Fixed, Multiple, Percentile
from flow_core.domain.record import Outcome, Step, TaskEvent, TaskRecord
from flow_core.domain.run import RunPhase, RunReport
from flow_core.domain.shape import InstanceShape, gpu_families
from flow_core.domain.task import TaskSpec
from flow_core.domain.task_parts import (
    Condition,
    Dependency,
    Guard,
    Keeper,
    Mount,
    Recover,
    Recovery,
    RunOn,
    Secret,
)
from flow_core.domain.task_rules import NOTICE_SIGNALS

EPOCH = datetime(2026, 1, 1, tzinfo=timezone.utc)


def spelled(first: str, more: str, *, least: int = 0, most: int) -> st.SearchStrategy[str]:
    """One letter of `first`, then from `least` to `most` of `more`: several times as quick as `st.from_regex`."""
    return st.builds(
        "{}{}".format, st.sampled_from(first), st.text(more, min_size=least, max_size=most)
    )


visible = st.characters(categories=["L", "N", "P", "S"])
inside = st.characters(exclude_characters="\0", exclude_categories=["Cs"])
words = st.text(visible, min_size=1, max_size=12)
lines = st.text(inside, min_size=1, max_size=30).filter(str.strip)
folders = st.text(
    st.characters(min_codepoint=32, exclude_characters="\x7f", exclude_categories=["Cs"]),
    min_size=1,
    max_size=20,
).filter(str.strip)
names = spelled(ascii_letters + digits, ascii_letters + digits + "._-=,+@/", most=20)
tokens = st.integers(0, 2**32).map(lambda seed: new_token(Random(seed)))
times = st.integers(0, 10**14).map(lambda micros: EPOCH + timedelta(microseconds=micros))
durations = st.integers(1, LONGEST // timedelta(microseconds=1)).map(
    lambda micros: timedelta(microseconds=micros)
)
prices = st.integers(0, 10**15).map(Price)
limits = st.integers(1, 10**15).map(Price)
spends = st.integers(1, 10**15).map(Spend)
shapes = st.one_of(
    st.just(InstanceShape("cpu", 0)),
    st.builds(
        InstanceShape,
        st.sampled_from(sorted(gpu_families())),
        st.integers(1, 16),
        st.none() | st.integers(1, 999),
    ),
)
#: None begins with an S, which those of secrets do.
variables = spelled((ascii_letters + "_").replace("S", ""), ascii_letters + digits + "_", most=15)
secret_names = variables.map("S_{}".format)
environments = st.dictionaries(variables, st.text(inside, max_size=20), max_size=4)
parts = st.text(ascii_lowercase + digits + "_ -", min_size=1, max_size=8)
paths = st.lists(parts, min_size=1, max_size=3).map(lambda found: "/".join(["/data", *found]))
buckets = spelled(ascii_lowercase + digits, ascii_lowercase + digits + ".-", least=2, most=20)
sources = st.one_of(
    names.map("volume://{}".format),
    st.builds(
        lambda bucket, folders: "/".join([f"s3://{bucket}", *folders]),
        buckets,
        st.lists(parts, max_size=2),
    ),
    names.map("/srv/{}".format),
    names.map("./{}".format),
    names.map("~/{}".format),
)
mounts = st.lists(
    st.builds(Mount, paths, sources, st.booleans()), max_size=3, unique_by=lambda mount: mount.path
).map(tuple)
policies = st.one_of(
    limits.map(Fixed),
    st.decimals("0.1", 1000, places=2).map(Multiple),
    st.builds(
        Percentile,
        st.decimals("0.1", 100, places=1),
        st.integers(1, 90 * 86_400).map(lambda seconds: timedelta(seconds=seconds)),
    ),
    st.builds(Budget, spends, st.sampled_from(["09:00", "9:30+02:00", "8h", "2026-03-02T09:00Z"])),
)
dependencies = st.builds(Dependency, names, st.sampled_from(Condition))


def _task(name: str | None, after: list[Dependency], **more: object) -> TaskSpec:
    """A task that waits for none of its own name."""
    return TaskSpec(name=name, after=tuple(each for each in after if each.task != name), **more)


#: Any task that may be asked for.
task_specs = st.builds(
    _task,
    st.none() | names,
    st.lists(dependencies, max_size=3),
    command=lines | st.tuples(lines, st.text(inside, max_size=20)) | st.tuples(lines),
    instance_type=st.none() | shapes,
    num_instances=st.integers(1, 10_000),
    max_price=st.none() | limits,
    bid_policy=st.none() | policies,
    region=st.none() | words,
    image=st.none() | words,
    env=environments,
    mounts=mounts,
    working_dir=st.none() | folders,
    code=st.none() | folders,
    run_on=st.sampled_from(RunOn),
    keep=st.booleans(),
    options=st.dictionaries(
        st.builds(
            "{}{}".format,
            st.just("")
            | spelled(ascii_lowercase, ascii_lowercase + digits, most=5).map("{}.".format),
            spelled(ascii_lowercase, ascii_lowercase + digits + "_", most=8),
        ),
        st.text("abc1", max_size=4),
        max_size=2,
    ),
    max_run_time=st.none() | durations,
    max_spend=st.none() | spends,
    idle_timeout=st.none() | durations,
    guard=st.sampled_from(Guard),
    retries=st.integers(0, 100),
    checkpoint=st.none() | words,
    notice_signal=st.none() | st.sampled_from(NOTICE_SIGNALS),
    environment=st.none() | words,
    secrets=st.lists(
        st.builds(Secret, secret_names, st.sampled_from(Keeper)),
        max_size=2,
        unique_by=lambda each: each.name,
    ).map(tuple),
    recovery=st.just(Recovery()) | st.builds(Recovery, st.just(Recover.RAISE), durations),
)
events = st.builds(TaskEvent, at=times, what=st.text(max_size=20), why=st.text(max_size=20))
records = st.builds(
    TaskRecord,
    token=tokens,
    name=names,
    provider=st.sampled_from(["mock", "mithril"]),
    spec=task_specs,
    created_at=times,
    step=st.sampled_from(Step),
    region=st.text(max_size=5),
    type_id=st.text(max_size=5),
    limit=prices,
    bid_id=st.none() | words,
    bid_state=st.none() | st.sampled_from(BidState),
    sent_at=st.none() | times,
    absent_since=st.none() | times,
    code_digest=st.none() | words,
    code_location=st.none() | folders,
    membership=st.integers(0, 9),
    membership_signature=st.text(max_size=9),
    preemptions=st.integers(0, 9),
    began_at=st.none() | times,
    cancel_asked=st.booleans(),
    outcome=st.none() | st.sampled_from(Outcome),
    exit_code=st.none() | st.integers(0, 255),
    reason=st.text(max_size=9),
    ended_at=st.none() | times,
    released=st.booleans(),
    spent=st.none() | spends,
    owner=st.none() | words,
)

notices = st.builds(Notice, st.sampled_from(NoticeKind), times)
reports = st.builds(
    RunReport,
    rank=st.integers(0, 5),
    phase=st.sampled_from(RunPhase),
    exit_code=st.none() | st.integers(0, 255),
    ended_at=st.none() | times,
)


def _allocation(states: list[NodeState], notice: Notice | None) -> Allocation:
    nodes = [
        Node(id=f"n{rank}", rank=rank, state=state, address=Address(f"10.0.0.{rank}"))
        for rank, state in enumerate(states)
    ]
    return Allocation(bid_id="bid", nodes=tuple(nodes), notice=notice)


#: Up to four nodes, ranked without gaps.
allocations = st.builds(
    _allocation, st.lists(st.sampled_from(NodeState), max_size=4), st.none() | notices
)

_OFFERED = [InstanceShape("h100", 8, 80), InstanceShape("a100", 8, 40), InstanceShape("cpu", 0)]


def _quote(floor: int, above: int, **more: object) -> Quote:
    return Quote(
        price=Price((floor + above) * 1_000_000),
        floor=Price(floor * 1_000_000),
        as_of=EPOCH,
        **more,
    )


#: Quotes from a small world, so that they often compete; the price is never under the floor.
quotes = st.builds(
    _quote,
    st.integers(0, 20),
    st.integers(0, 20),
    type_id=st.sampled_from(["t1", "t2", "t3"]),
    shape=st.sampled_from(_OFFERED),
    region=st.sampled_from(["east", "west", "north"]),
    available=st.none() | st.integers(0, 8),
    capacity=st.none() | st.integers(0, 8),
)
