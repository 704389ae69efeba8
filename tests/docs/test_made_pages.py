"""Pages that are made from the code say what the code says."""

from __future__ import annotations

import re

import pytest

from docs.generate import pages, stale
from docs.states import MACHINES, diagram
from tests.docs.blocks import blocks

DIAGRAMS = blocks("docs/reference/states.md", "mermaid")


def test_no_made_page_is_stale():
    """`make docs` would change nothing."""
    assert [] == stale()


def test_a_changed_page_is_stale(tmp_path):
    """A page that says something else is named, and so is one that is missing."""
    for name, text in pages().items():
        (tmp_path / name).write_text(text, "utf-8")
    (tmp_path / "states.md").write_text("# Old", "utf-8")
    (tmp_path / "errors.md").unlink()

    assert ["states.md", "errors.md"] == stale(tmp_path)


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.title)
def test_a_diagram_draws_its_table(machine):
    """The arrows of a diagram, a box's given to each state in it, are the transitions of the table."""
    drawn = arrows(diagram(machine))
    for start, end in [pair for pair in drawn if pair[0] == machine.box]:
        drawn.remove((start, end))
        drawn += [(state.value, end) for state in machine.together]
    told = [
        (state.value, after.value)
        for state, following in machine.table.items()
        for after in following
    ]

    assert sorted(told) == sorted(pair for pair in drawn if "[*]" not in pair)


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.title)
def test_a_diagram_is_in_the_page(machine):
    """The page holds each machine's diagram."""
    assert f"{diagram(machine)}\n" in [block.text for block in DIAGRAMS]


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.title)
def test_every_state_is_reached_and_explained(machine):
    """Each state has a sentence, and a way from the start."""
    reached = set(machine.starts)
    while more := set().union(*(machine.table[state] for state in reached)) - reached:
        reached |= more

    assert set(machine.table) == reached
    assert set(machine.table) == set(machine.meanings)


def arrows(text: str) -> list[tuple[str, str]]:
    """The pairs that a diagram joins by arrows."""
    return re.findall(r"^\s*(\S+) --> (\S+)$", text, re.MULTILINE)
