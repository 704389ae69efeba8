"""`flow reconcile`: bids that this machine didn't place, by name."""

from __future__ import annotations

import pytest

from flow_adapters.wiring import connect_in_memory


@pytest.fixture
def lost(flow, pretend_cloud):
    """`flow` on a machine whose journal is empty, while an instance of another machine's runs."""
    flow("instance", "create", "-i", "8xh100", "--name", "box")
    other = connect_in_memory(pretend_cloud, seed=5)

    def call(*words, **given):
        return flow(*words, connect=lambda provider, environ: other, **given)

    return call


def test_a_stray_is_listed_with_its_hourly_cost(lost):
    """The list has its name, what it costs an hour, and what can be done."""
    answer = lost("reconcile")
    (stray,) = lost("reconcile", "--json").document["bids"]

    assert "box" in answer.out
    assert "flow reconcile NAME --adopt" in answer.out
    assert ("box", True, "allocated") == (stray["name"], stray["is_ours"], stray["state"])
    assert 0 < stray["per_hour"] <= stray["max_per_hour"]
    assert f"${stray['per_hour']}" in answer.out


def test_nothing_to_reconcile_says_so(flow):
    """An empty list is no failure."""
    answer = flow("reconcile")

    assert (0, "This machine knows every live bid.\n") == (answer.code, answer.out)


def test_an_adopted_instance_is_listed_and_can_be_deleted(lost, clock):
    """It is an instance here as it was there, and costs nothing once it is deleted here."""
    assert 0 == lost("reconcile", "box", "--adopt").code
    document = lost("instance", "list", "--json").document
    (box,) = document["instances"]

    assert (("box", "running", True), []) == (
        (box["name"], box["state"], box["kept"]), document["elsewhere"],
    )  # fmt: skip
    assert 0 == lost("instance", "delete", "box", "--yes").code
    clock.advance(minutes=5)
    assert not lost("status", "box", "--json").document["task"]["is_live"]


def test_withdrawing_asks_first(lost):
    """Without a terminal it takes --yes; a no ends nothing."""
    assert 2 == lost("reconcile", "box", "--withdraw").code
    assert 1 == lost("reconcile", "box", "--withdraw", terminal=True, typed="n\n").code
    assert "box" in lost("reconcile").out
    assert 0 == lost("reconcile", "box", "--withdraw", "--yes").code
    assert "box" not in lost("reconcile").out


@pytest.mark.parametrize(
    "words", [["box"], ["--adopt"], ["--withdraw", "--yes"], ["box", "--adopt", "--withdraw"]]
)
def test_names_and_what_to_do_come_together(lost, words):
    """A name alone, a deed alone, and two deeds at once are refused, and nothing is touched."""
    assert 2 == lost("reconcile", *words).code
    assert "box" in lost("reconcile").out


def test_nothing_is_ended_when_one_name_is_unknown(lost):
    """All names are looked up before anything is done."""
    answer = lost("reconcile", "box", "nobody", "--withdraw", "--yes")

    assert 4 == answer.code
    assert "there are: box" in answer.err
    assert "box" in lost("reconcile").out
