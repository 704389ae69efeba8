"""Ranks: whole, and the same node's for as long as its bid lives."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from flow_providers.mithril.ranks import ranked
from flow_providers.mithril.wire import Instance
from tests.strategies import EPOCH


def node(fid, status="RUNNING", name="", at=0):
    """An instance made `at` seconds after the epoch."""
    return Instance(
        fid=fid, status=f"STATUS_{status}", name=name, created_at=EPOCH + timedelta(seconds=at)
    )


def order(instances, quantity, bid_name="train"):
    """The ids by rank."""
    return [each.fid for each in ranked(instances, bid_name=bid_name, quantity=quantity)]


@given(st.permutations(range(6)), st.booleans())
def test_ranks_don_t_depend_on_the_list_s_order(shuffled, numbered):
    """Names with numbers give ranks by number; without, the order of creation does."""
    nodes = [node(f"inst_{i}", name=f"train-{i + 1}" if numbered else "", at=i) for i in range(6)]

    assert [f"inst_{i}" for i in range(6)] == order([nodes[i] for i in shuffled], 6)


def test_equal_ages_are_ordered_by_id():
    """Instances made in one second keep an order."""
    assert ["inst_a", "inst_b"] == order([node("inst_b"), node("inst_a")], 2)


def test_a_replacement_takes_the_place_of_who_left():
    """When the first of three is replaced, the others keep their ranks."""
    old = [node("a", "REPLACED", at=0), node("b", at=1), node("c", at=2)]

    assert ["a", "b", "c"] == order(old, 3)
    assert ["d", "b", "c"] == order([*old, node("d", at=9)], 3)


def test_a_replacement_of_the_same_name_takes_its_number():
    """A new instance with the old one's number has its rank."""
    nodes = [
        node("a", "TERMINATED", "train-0"),
        node("b", name="train-1"),
        node("c", name="train-0", at=9),
    ]

    assert ["c", "b"] == order(nodes, 2)


def test_stopped_nodes_make_room_for_new_ones():
    """Where a preemption ends in new ids, the old ones, still listed as preempted, hold no rank."""
    old = [node("a", "PREEMPTED", at=0), node("b", "PREEMPTED", at=1)]

    assert ["a", "b"] == order(old, 2)
    assert ["c", "d"] == order([*old, node("c", "STARTING", at=9), node("d", at=10)], 2)


def test_the_same_ids_keep_their_ranks_across_a_preemption():
    """Where instances come back under their ids, nothing moves."""
    assert ["a", "b"] == order([node("b", "STARTING", at=1), node("a", "STARTING", at=0)], 2)


def test_nothing_is_held_when_all_have_gone():
    """Instances that have all ended are no nodes."""
    assert [] == order([node("a", "TERMINATED"), node("b", "REPLACED")], 2)


def test_numbers_that_don_t_fit_the_bid_don_t_count():
    """Names that end in something else than a place, such as a date, don't decide."""
    nodes = [node("a", name="train-2026", at=1), node("b", name="train-7", at=0)]

    assert ["b", "a"] == order(nodes, 2)


statuses = st.sampled_from(["RUNNING", "STARTING", "PREEMPTED", "TERMINATED", "REPLACED", "ERROR"])


@given(st.lists(st.tuples(statuses, st.integers(0, 5)), max_size=8), st.integers(1, 4))
def test_nobody_is_lost_and_nobody_is_there_twice(drawn, quantity):
    """Every instance that works has one rank, whatever else is listed."""
    nodes = [node(f"i{n}", status, at=at) for n, (status, at) in enumerate(drawn)]
    found = order(nodes, quantity)
    working = [each.fid for each in nodes if each.status in ("STATUS_RUNNING", "STATUS_STARTING")]

    assert len(found) == len(set(found))
    assert set(working) <= set(found)
