"""How things look: plain for pipes, drawn for terminals of 80 and 200 columns, with and without colour."""

from __future__ import annotations

import io
import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_cli.show.layout import Cell, Column, Panel, Table, drawn, plain
from flow_cli.show.text import clean
from flow_cli.streams import Talk, Wait

ESCAPE = re.compile(r"\x1b")
NAMES = Table(
    columns=(Column("Name", cuts=True), Column("Count", right=True), Column("Note", wide=True)),
    rows=((Cell("a" * 120), Cell("7", "green"), Cell("x")), (Cell("[bold]b[/bold]"), Cell("11"), Cell("y"))),
    title="Flow",
)  # fmt: skip


def on_terminal(block, width: int, *, colour: bool) -> list[str]:
    """The lines that a terminal of this width gets."""
    from rich.console import Console

    file = io.StringIO()
    console = Console(
        file=file, force_terminal=True, width=width, color_system="standard" if colour else None
    )
    console.print(drawn(block, width))
    return file.getvalue().splitlines()


def test_plain_cuts_nothing_and_colours_nothing():
    """A pipe gets every column whole, under its heading."""
    lines = plain(NAMES).splitlines()

    assert "Flow" == lines[0]
    assert ["Name", "Count", "Note"] == lines[1].split()
    assert "a" * 120 in lines[2]
    assert not ESCAPE.search(plain(NAMES))


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("colour", [True, False])
def test_a_drawn_table_fits_its_terminal(width, colour):
    """No line is wider than the terminal; long names are shortened with an ellipsis, counts never."""
    lines = on_terminal(NAMES, width, colour=colour)
    bare = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in lines]

    assert max(map(len, bare)) <= width
    assert any(" 7 " in line for line in bare)
    assert colour == any(ESCAPE.search(line) for line in lines)


def test_columns_of_lesser_interest_wait_for_room():
    """A wide column shows at 200 columns and not at 80."""
    assert not any("Note" in line for line in on_terminal(NAMES, 80, colour=False))
    assert any("Note" in line for line in on_terminal(NAMES, 200, colour=False))


def test_markup_in_a_name_is_text():
    """What looks like rich's markup is shown as it was written."""
    assert any("[bold]b[/bold]" in line for line in on_terminal(NAMES, 200, colour=True))


def test_a_panel_folds_long_values():
    """Nothing of a value is lost in a narrow frame."""
    lines = on_terminal(Panel("T", (("Key", Cell("x" * 150)),)), 80, colour=False)

    assert 150 == sum(line.count("x") for line in lines)


@given(st.text())
def test_clean_text_is_printable_and_plain_text_is_unchanged(text):
    """Whatever comes in, nothing that a terminal obeys goes out; harmless text stays as it was."""
    shown = clean(text)

    assert all(char.isprintable() for char in shown)
    assert clean(shown) == shown


class Kept(Talk):
    """Talk whose lines are kept."""

    def __init__(self) -> None:
        super().__init__("stderr", terminal=False, colour=False, width=None)
        self.lines: list[str] = []

    def line(self, text: str, style: str = "") -> None:
        """Keep it."""
        self.lines.append(text)


def test_a_long_wait_is_told_now_and_then():
    """A reason that lasts is said with what follows; again after 30 s, then twice as late each time."""
    talk = Kept()
    wait = Wait(talk)
    for second in range(301):
        wait.tell("waiting", elapsed=timedelta(seconds=second), then="it starts")

    assert [
        "waiting; then it starts",
        "waiting (for 30s so far)",
        "waiting (for 1m so far)",
        "waiting (for 2m so far)",
        "waiting (for 4m so far)",
    ] == talk.lines


def test_what_passes_soon_is_not_worth_a_line():
    """A reason that stands for a second only is not told, unless it is to be told at once."""
    talk = Kept()
    wait = Wait(talk)
    for second in range(10):
        wait.tell(f"step {second}", elapsed=timedelta(seconds=second))
    wait.tell("bidding", elapsed=timedelta(seconds=10), at_once=True)

    assert ["bidding"] == talk.lines


def test_without_a_terminal_there_is_no_escape_code(flow):
    """Panels, lists and waits are plain lines."""
    made = flow("instance", "create", "-i", "8xh100", "--name", "box")
    listed = flow("instance", "list")

    assert not ESCAPE.search(made.out + made.err + listed.out + listed.err)


def test_no_color_leaves_a_terminal_without_colour(flow):
    """NO_COLOR and --no-color draw frames and no colours."""
    flow("instance", "create", "-i", "8xh100", "--name", "box")
    for words, environ in ((("--no-color",), {}), ((), {"NO_COLOR": "1"})):
        answer = flow("instance", "list", *words, terminal=True, environ=environ)

        assert "╭" in answer.out
        assert not ESCAPE.search(answer.out)


def test_a_terminal_gets_frames_and_colours(flow):
    """With neither, states are coloured."""
    flow("instance", "create", "-i", "8xh100", "--name", "box")
    answer = flow("instance", "list", terminal=True, environ={})

    assert "╭" in answer.out
    assert ESCAPE.search(answer.out)
