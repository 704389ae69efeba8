"""Bids that a journal doesn't know: listed with their cost, adopted or withdrawn by name."""

from __future__ import annotations

import pytest
from attrs import evolve

from flow_adapters.journal import SqliteJournal
from flow_adapters.wiring import Unwatched, connect_in_memory
from flow_core.domain.bid import BidRequest, Launch
from flow_core.domain.money import Price
from flow_core.domain.people import Person
from flow_core.domain.record import Outcome
from flow_core.domain.task_form import task_from_mapping
from flow_core.errors import Conflict, NameTaken, NotFound
from flow_core.services.reconciling import UNKNOWN_COMMAND, Reconciling
from flow_core.services.session import Session

TRAIN = {
    "command": "python train.py", "name": "train", "instance_type": "8xh100", "num_instances": 2,
    "env": {"LR": "0.1"}, "working_dir": "src", "max_price_per_hour": 40,
}  # fmt: skip


@pytest.fixture
def first(pretend_cloud, session) -> Session:
    """A machine that submitted a task of two nodes, brought it to run, and was then put into a drawer."""
    pretend_cloud.on("python train.py", takes="3h", prints=["one", "two"])
    ports = evolve(session.ports, journal=SqliteJournal(":memory:"), watch=Unwatched())
    machine = Session(ports)
    machine.tasks.submit(task_from_mapping(TRAIN))
    for _ in range(12):
        pretend_cloud.clock.advance(minutes=5)
        machine.watcher.tick()
    return machine


@pytest.fixture
def lost(pretend_cloud, first) -> Session:
    """A machine whose journal is empty, while the first one's task runs."""
    return connect_in_memory(pretend_cloud, seed=1)


def stranger(session, name="theirs") -> str:
    """Place a bid by no program of ours, and return its id."""
    quote = session.provider.market.quotes()[0]
    request = BidRequest(
        name=name, type_id=quote.type_id, shape=quote.shape, region=quote.region, quantity=1,
        limit=quote.price * 2, launch=Launch(script="#!/bin/sh\n"),
    )  # fmt: skip
    return session.provider.market.place(request).id


def test_a_stray_is_told_with_what_it_costs(lost, first):
    """It has its user's name; all its instances cost the market's price now, and the limit at most."""
    (stray,) = Reconciling(lost.ports).strays()
    record = first.tasks.record("train")
    price = first.tasks.quote(record).price

    assert ("train", record.token, True) == (stray.name, stray.token, stray.is_ours)
    assert (price * 2, Price.parse(80)) == (stray.hourly, stray.at_most)
    assert [] == Reconciling(first.ports).strays()


def test_a_bid_without_nodes_costs_nothing_now(lost, first):
    """A paused or waiting stray costs nothing until it holds nodes."""
    first.amending.pause("train")
    first.provider.clock.advance(minutes=10)

    assert [Price.ZERO] == [each.hourly for each in Reconciling(lost.ports).strays()]


def test_listing_touches_nothing(lost, first):
    """However often it is listed, the bid goes on and the journal stays empty."""
    for _ in range(3):
        Reconciling(lost.ports).strays()

    assert [] == list(lost.ports.journal.live())
    assert first.tasks.view("train").bid.is_live


def test_an_adopted_bid_is_a_task_like_any_other(lost, pretend_cloud):
    """What it runs is read from its node script; the watcher ends it when the command has, and the log is whole."""
    service = Reconciling(lost.ports)
    (stray,) = service.named(["train"])
    record = service.adopt(stray)
    spec = record.spec

    assert [] == service.strays()
    assert ("python train.py", "src", {"LR": "0.1"}, 2, False) == (
        spec.command, spec.working_dir, dict(spec.env), spec.num_instances, spec.keep,
    )  # fmt: skip
    pretend_cloud.clock.advance(hours=3)
    view = lost.tasks.view("train")
    assert Outcome.SUCCEEDED is view.record.outcome
    assert view.record.released
    assert b"two" in b"".join(chunk.data for chunk in lost.tasks.logs("train"))


def test_an_adopted_task_comes_back_after_a_preemption(lost, first, pretend_cloud):
    """Memberships go on from a number that its nodes have not seen yet."""
    service = Reconciling(lost.ports)
    service.adopt(service.named(["train"])[0])
    pretend_cloud.outbid("train", lasts="1h")
    pretend_cloud.clock.advance(hours=9)

    record = lost.tasks.record("train")
    assert (Outcome.SUCCEEDED, 1) == (record.outcome, record.preemptions)
    assert record.membership > first.tasks.record("train").membership + 1


def test_what_runs_unknown_is_kept(lost, pretend_cloud):
    """Where the provider tells no script, the task is held like an instance, until the user ends it."""

    class Silent:
        def __getattr__(self, name):
            return getattr(pretend_cloud.provider.market, name)

        def bid(self, bid_id):
            return evolve(pretend_cloud.provider.market.bid(bid_id), script="")

    ports = evolve(lost.ports, provider=evolve(lost.provider, market=Silent()))
    service = Reconciling(ports)
    spec = service.adopt(service.named(["train"])[0]).spec

    assert (UNKNOWN_COMMAND, True) == (spec.command, spec.keep)


def test_a_withdrawn_stray_is_gone(lost):
    """Its bid ends, and only its."""
    service = Reconciling(lost.ports)
    other = stranger(lost)
    service.withdraw(service.named(["train"])[0])

    assert [other] == [each.bid.id for each in service.strays()]


def test_what_is_not_ours_cannot_be_named(lost):
    """A bid that Flow didn't place, and one of another user's, are listed and left alone."""
    other = stranger(lost)
    service = Reconciling(lost.ports)
    with pytest.raises(Conflict, match="not placed by Flow"):
        service.named([other])

    class Grace:
        def me(self):
            return Person(id="grace", name="Grace")

    ports = evolve(lost.ports, provider=evolve(lost.provider, account=Grace()))
    assert not any(each.is_ours for each in Reconciling(ports).strays())
    with pytest.raises(Conflict, match="another user's"):
        Reconciling(ports).named(["train"])


def test_names_that_mean_nothing_or_too_much_are_refused(lost, pretend_cloud):
    """An unknown name lists those there are; a shared one asks for an id, which means one."""
    service = Reconciling(lost.ports)
    with pytest.raises(NotFound) as caught:
        service.named(["nobody"])
    assert caught.value.hint == "there are: train"

    third = connect_in_memory(pretend_cloud, seed=3)
    twin = third.tasks.submit(task_from_mapping({**TRAIN, "num_instances": 1}))
    with pytest.raises(Conflict, match="2 bids are named"):
        service.named(["train"])
    assert [twin.bid_id] == [each.bid.id for each in service.named([twin.bid_id, twin.token])]


def test_a_name_in_use_here_is_not_taken_over(lost):
    """A live task of that name stays the only one."""
    lost.tasks.submit(task_from_mapping({**TRAIN, "num_instances": 1}))
    service = Reconciling(lost.ports)
    with pytest.raises(NameTaken):
        service.adopt(service.strays()[0])


def test_what_ended_here_is_not_begun_again(session, pretend_cloud):
    """A late double of a task that has ended can be withdrawn and not adopted."""
    pretend_cloud.on("python train.py", takes="1m")
    session.tasks.submit(task_from_mapping(TRAIN))
    session.tasks.wait("train")
    record = session.tasks.record("train")
    stranger(session, record.wire_name)
    service = Reconciling(session.ports)
    (stray,) = service.named(["train"])

    with pytest.raises(Conflict, match="has ended here"):
        service.adopt(stray)
    service.withdraw(stray)
    assert [] == service.strays()
