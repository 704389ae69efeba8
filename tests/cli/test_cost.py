"""`flow cost`: what was spent, by task and owner, and the prices behind it."""

from __future__ import annotations

import pytest


@pytest.fixture
def spent(flow, pretend_cloud) -> None:
    """An ended task of two hours and one that has run for one; prices changed once on the way."""
    pretend_cloud.raise_price(2)
    pretend_cloud.on("train", takes="2h")
    pretend_cloud.on("serve", takes="99h")
    flow(
        "submit", "train", "-i", "a100", "--name", "train", "--max-price-per-hour", "9", "--detach"
    )
    pretend_cloud.clock.advance(hours=1)
    pretend_cloud.raise_price(4)
    pretend_cloud.clock.advance(hours=2)
    flow(
        "submit",
        "serve",
        "-i",
        "a100",
        "-N",
        "2",
        "--name",
        "serve",
        "--max-price-per-hour",
        "9",
        "--detach",
    )
    pretend_cloud.clock.advance(hours=1)


def test_all_adds_up_to_the_ledger(flow, spent, pretend_cloud):
    """The total is the sum of the tasks, and what the cloud would bill, to the micro-dollar."""
    document = flow("cost", "--json").document

    assert {"train", "serve"} == {task["name"] for task in document["tasks"]}
    assert round(document["total"] * 10**6) == pretend_cloud.ledger().total.micros
    assert document["total"] == pytest.approx(sum(task["cost"] for task in document["tasks"]))
    assert document["total"] == pytest.approx(sum(document["by_owner"].values()))


def test_a_cost_is_made_of_prices(flow, spent):
    """Each task's stretches, price times nodes times hours, are its cost."""
    for task in flow("cost", "--json").document["tasks"]:
        assert len(task["prices"]) == (2 if task["name"] == "train" else 1)
        assert not task["is_estimate"]
    said = flow("cost", "train").out
    assert "$2.00" in said
    assert "$4.00" in said
    assert "serve" not in said


def test_only_what_was_paid_since_counts(flow, spent, pretend_cloud):
    """A stretch that reaches back further is cut there, and what ended before is left out."""
    (task,) = flow("cost", "--since", "30m", "--json").document["tasks"]

    assert ("serve", True) == (task["name"], task["is_live"])
    assert task["cost"] == pytest.approx(2 * 0.5 * 4)
    assert task["node_hours"] == pytest.approx(1)


def test_owners_are_named(flow, spent):
    """People see whose money it was by name, and the sum."""
    said = flow("cost").out

    assert "you: $" in said
    assert "● goes on" in said


def test_nothing_paid_is_said(flow):
    """An empty bill is a sentence; a task that cost nothing is told apart from a typing mistake."""
    assert "Nothing was paid since" in flow("cost").out
    answer = flow("cost", "nosuch")
    assert 0 != answer.code
    assert "nothing was paid for 'nosuch'" in answer.err


def test_a_time_that_is_none_is_refused(flow):
    """One message says what may be written."""
    answer = flow("cost", "--since", "yesterdayish")

    assert "write '10m', '7d' or" in answer.err


def test_lines_are_found_across_pieces(flow, pretend_cloud):
    """--grep shows whole lines of the command that match, the last without its newline too."""
    pretend_cloud.on("train", lambda run: iter([b"lo", b"ss 1\nother\nlo", b"ss 2"]))
    flow("submit", "train", "-i", "a100", "--name", "train")

    assert "loss 1\nloss 2" == flow("logs", "train", "--grep", "^loss").out
    assert "no regular expression" in flow("logs", "train", "--grep", "(").err


def test_old_lines_are_left_out(flow, pretend_cloud):
    """--since shows what was written in the last hour only."""
    pretend_cloud.on("train", takes="3h", prints=["one", "two", "three"])
    flow("submit", "train", "-i", "a100", "--name", "train", "--detach")
    pretend_cloud.clock.advance(hours=3, minutes=5)

    assert "three\n" == flow("logs", "train", "--since", "1h").out
