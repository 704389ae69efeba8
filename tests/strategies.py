"""Hypothesis strategies for the domain's values; every value they make is well formed."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from random import Random

from hypothesis import strategies as st

from flow_core.domain.allocation import Address, Allocation, Node, NodeState, Notice, NoticeKind
from flow_core.domain.bid import Bid, BidState, Quote
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

visible = st.characters(categories=["L", "N", "P", "S"])
inside = st.characters(exclude_characters="\0", exclude_categories=["Cs"])
words = st.text(visible, min_size=1, max_size=12)
lines = st.text(inside, min_size=1, max_size=30).filter(str.strip)
folders = st.text(
    st.characters(min_codepoint=32, exclude_characters="\x7f", exclude_categories=["Cs"]),
    min_size=1,
    max_size=20,
).filter(str.strip)
names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._\-=,+@/]{0,20}", fullmatch=True)
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
variables = st.from_regex(r"[A-RT-Za-z_][A-Za-z0-9_]{0,15}", fullmatch=True)
secret_names = variables.map("S_{}".format)
environments = st.dictionaries(variables, st.text(inside, max_size=20), max_size=4)
paths = st.lists(st.from_regex(r"[a-z0-9_ -]{1,8}", fullmatch=True), min_size=1, max_size=3).map(
    lambda parts: "/data/" + "/".join(parts)
)
sources = st.one_of(
    names.map("volume://{}".format),
    st.from_regex(r"s3://[a-z0-9][a-z0-9.-]{2,20}(/[a-z0-9_ -]{1,8}){0,2}", fullmatch=True),
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


@st.composite
def task_specs(draw: st.DrawFn) -> TaskSpec:
    """Any task that may be asked for."""
    name = draw(st.none() | names)
    after = draw(st.lists(dependencies.filter(lambda each: each.task != name), max_size=3))
    return TaskSpec(
        command=draw(lines | st.tuples(lines, st.text(inside, max_size=20)) | st.tuples(lines)),
        name=name,
        instance_type=draw(st.none() | shapes),
        num_instances=draw(st.integers(1, 10_000)),
        max_price=draw(st.none() | limits),
        bid_policy=draw(st.none() | policies),
        region=draw(st.none() | words),
        image=draw(st.none() | words),
        env=draw(environments),
        mounts=draw(mounts),
        working_dir=draw(st.none() | folders),
        code=draw(st.none() | folders),
        run_on=draw(st.sampled_from(RunOn)),
        keep=draw(st.booleans()),
        options=draw(
            st.dictionaries(
                st.from_regex(r"([a-z][a-z0-9]{0,5}\.)?[a-z][a-z0-9_]{0,8}", fullmatch=True),
                st.text("abc1", max_size=4),
                max_size=2,
            )
        ),
        max_run_time=draw(st.none() | durations),
        max_spend=draw(st.none() | spends),
        idle_timeout=draw(st.none() | durations),
        guard=draw(st.sampled_from(Guard)),
        retries=draw(st.integers(0, 100)),
        checkpoint=draw(st.none() | words),
        notice_signal=draw(st.none() | st.sampled_from(NOTICE_SIGNALS)),
        environment=draw(st.none() | words),
        secrets=tuple(
            draw(
                st.lists(
                    st.builds(Secret, secret_names, st.sampled_from(Keeper)),
                    max_size=2,
                    unique_by=lambda each: each.name,
                )
            )
        ),
        recovery=draw(st.just(Recovery()) | st.builds(Recovery, st.just(Recover.RAISE), durations)),
        after=tuple(after),
    )


events = st.builds(TaskEvent, at=times, what=st.text(max_size=20), why=st.text(max_size=20))
records = st.builds(
    TaskRecord,
    token=tokens,
    name=names,
    provider=st.sampled_from(["mock", "mithril"]),
    spec=task_specs(),
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

bids = st.builds(
    Bid,
    id=words,
    name=words,
    state=st.sampled_from(BidState),
    shape=shapes,
    region=words,
    quantity=st.integers(1, 20),
    limit=limits,
    created_at=times,
)
notices = st.builds(Notice, st.sampled_from(NoticeKind), times)
reports = st.builds(
    RunReport,
    rank=st.integers(0, 5),
    phase=st.sampled_from(RunPhase),
    exit_code=st.none() | st.integers(0, 255),
    ended_at=st.none() | times,
)


@st.composite
def allocations(draw: st.DrawFn) -> Allocation:
    """Up to four nodes, ranked without gaps."""
    states = draw(st.lists(st.sampled_from(NodeState), max_size=4))
    nodes = [
        Node(id=f"n{rank}", rank=rank, state=state, address=Address(f"10.0.0.{rank}"))
        for rank, state in enumerate(states)
    ]
    return Allocation(bid_id="bid", nodes=tuple(nodes), notice=draw(st.none() | notices))


_OFFERED = [InstanceShape("h100", 8, 80), InstanceShape("a100", 8, 40), InstanceShape("cpu", 0)]


@st.composite
def quotes(draw: st.DrawFn) -> Quote:
    """A quote from a small world, so that quotes often compete; the price is never under the floor."""
    floor = draw(st.integers(0, 20))
    return Quote(
        type_id=draw(st.sampled_from(["t1", "t2", "t3"])),
        shape=draw(st.sampled_from(_OFFERED)),
        region=draw(st.sampled_from(["east", "west", "north"])),
        price=Price((floor + draw(st.integers(0, 20))) * 1_000_000),
        floor=Price(floor * 1_000_000),
        as_of=EPOCH,
        available=draw(st.none() | st.integers(0, 8)),
        capacity=draw(st.none() | st.integers(0, 8)),
    )
