"""How ranks and exit codes of many nodes are told."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flow_cli.ranks import ranks_of
from flow_cli.show.exits import exit_table, ranks_text, worst_code
from flow_cli.show.layout import plain


@given(st.sets(st.integers(0, 400), min_size=1))
def test_ranks_are_written_as_they_are_read(ranks):
    """Whatever ranks are told can be given to --node again, and means the same."""
    assert tuple(sorted(ranks)) == ranks_of(None, None, ranks_text(ranks))


def test_a_table_has_a_row_for_each_code():
    """Codes come lowest first, each with its nodes, and the lost ones last."""
    told = plain(exit_table({0: 0, 1: 0, 3: 7, 2: 0}, {5: "gone", 4: "late"}))

    rows = [["exit", "code", "nodes"], ["0", "0-2"], ["7", "3"], ["lost", "4-5"]]
    assert rows == [line.split() for line in told.splitlines()]


def test_the_worst_code():
    """The highest code counts, a lost node as the code it is given, and no node at all as 0."""
    assert [0, 7, 125, 137] == [
        worst_code({}, {}, lost_as=125),
        worst_code({0: 0, 1: 7}, {}, lost_as=125),
        worst_code({0: 7}, {1: "gone"}, lost_as=125),
        worst_code({0: 137}, {1: "gone"}, lost_as=125),
    ]
