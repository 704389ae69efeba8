"""`flow status TASK --why`: decisions with their reasons, told apart by whose fault it was."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from flow_providers.mock import PretendCloud
from flow_providers.mock.told import PretendRun

GROUP = ("submit", "train", "-i", "a100", "-N", "2", "--name", "train", "--no-code", "--detach")


@pytest.fixture
def training(pretend_cloud: PretendCloud) -> None:
    """A command of two ranks that fail, a minute later, when the other's node is gone, and else take two hours."""

    def train(run: PretendRun) -> Iterator[object]:
        [bid] = pretend_cloud.provider.market.bids(live=True)
        ids = [node.id for node in pretend_cloud.provider.fleet.allocations([bid.id])[bid.id].nodes]
        for _ in range(120):
            yield timedelta(minutes=1)
            if not all(pretend_cloud.nodes.is_up(each) for each in ids):
                return 1
        return 0

    pretend_cloud.on("train", train)


def test_a_missing_node_is_said_to_be_waited_for(flow, pretend_cloud, session, clock, training):
    """While a failure is put down to a lost node, status names the node, the wait and what ends it; --why the time."""
    flow(*GROUP)
    clock.advance(minutes=10)
    pretend_cloud.lose_node("train", 1)
    clock.advance(minutes=5)
    short, told = flow("status", "train").out, flow("status", "train", "--why").out

    assert "node 1 is lost; its fellows wait for it" in short
    assert "then the task ends if that lasts for 15m" in short
    assert "node 1" in told
    assert "if it lasts, the task ends at" in told
    assert "wait: the bid stays as it is" in told
    clock.advance(minutes=15)
    assert "node 1 is lost, for too long" in flow("status", "train", "--why").out


def test_every_trouble_has_its_fault(flow, pretend_cloud, clock, training):
    """An outage of a node and a preemption are counted and marked, on paper and in JSON, which is always whole."""
    flow(*GROUP)
    clock.advance(minutes=10)
    pretend_cloud.lose_node("train", 1, back_after="5m")
    clock.advance(minutes=20)
    pretend_cloud.outbid("train")
    clock.advance(hours=4)
    told = flow("status", "train", "--why").out
    document = flow("status", "train", "--json").document["task"]
    marked = [(each["what"], each["fault"]) for each in document["history"] if each["fault"]]

    assert "market 1, node 1" in told
    assert "market    the market gave notice of preemption" in told
    assert "node      an outage is waited out: node 1 is lost" in told
    assert [
        ("an outage is waited out", "node"),
        ("the market gave notice of preemption", "market"),
    ] == marked
    assert (1, 0, 0, None) == tuple(
        document[key] for key in ("preemptions", "moves", "retried", "outage_since")
    )


def test_without_why_the_history_is_short(flow, pretend_cloud, clock, training):
    """The newest lines are shown, and how to see the others."""
    flow(*GROUP)
    clock.advance(minutes=10)
    pretend_cloud.outbid("train")
    clock.advance(hours=4)
    short, told = flow("status", "train").out, flow("status", "train", "--why").out

    assert "more: `flow status train --why`" in short
    assert ["the task succeeded" in each for each in (short, told)] == [True, True]
    assert ["submitted" in each for each in (short.lower().split("history")[1], told)] == [
        False,
        True,
    ]


def test_tries_are_counted(flow, pretend_cloud, clock):
    """A retry is a decision: its number, its reason and its fault are told, and how many are left."""
    pretend_cloud.on("train", lambda run: 3 if run.attempt == 0 else iter([timedelta(hours=1)]))
    flow(
        "submit",
        "train",
        "-i",
        "a100",
        "--name",
        "train",
        "--no-code",
        "--detach",
        "--retries",
        "2",
    )
    clock.advance(minutes=10)
    told = flow("status", "train", "--why").out

    assert "1 of 2 used" in told
    assert (
        "program   the command failed and is tried again: ended with 3; try 2 of 3 follows in 5 s"
        in told
    )
    assert "attempt 2, 1 retried" in told


def test_a_recovery_is_announced(flow, pretend_cloud, clock):
    """A preempted task that is to move says when it looks for another region."""
    pretend_cloud.raise_price(2)
    pretend_cloud.on("train", takes="3h")
    flow(
        "submit", "train", "-i", "a100", "--name", "train", "--no-code", "--detach", "--recovery", "move:30m"
    )  # fmt: skip
    clock.advance(hours=1)
    pretend_cloud.raise_price(9)
    clock.advance(minutes=10)
    short, told = flow("status", "train").out, flow("status", "train", "--why").out

    assert "or it looks for another region in 2" in short
    assert "move:30m: looks for another region at" in told


@pytest.mark.parametrize("words", [("--why",), ("--watch", "train", "--why")])
def test_why_needs_one_task(flow, words):
    """A list has no why, and neither has the live view."""
    answer = flow("status", *words)

    assert 2 == answer.code
    assert "flow status TASK --why" in answer.err
