"""`flow status --watch`: the screen as a function of what was seen, and the lines where there is no terminal."""

from __future__ import annotations

from datetime import timedelta

import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flow_cli.show.layout import plain
from flow_cli.show.live import WIDE, Frame, live_screen
from flow_core.domain.bid import Quote
from flow_core.domain.money import Price, Spend
from flow_core.domain.overview import Overview, Row, changes
from flow_core.domain.record import Outcome
from flow_core.domain.shape import InstanceShape
from flow_core.domain.status import TaskView
from flow_core.domain.task import TaskSpec
from flow_core.domain.waiting import Waiting
from flow_core.services.overviews import Overviews
from tests import strategies
from tests.records import record
from tests.strategies import EPOCH

FRAME = Frame(provider="mock", simulated=True)
H100 = InstanceShape("h100", 8, 80)


@st.composite
def rows(draw: st.DrawFn) -> Row:
    """A task in any condition, its names and reasons of any length."""
    outcome = draw(st.none() | st.sampled_from(Outcome))
    found = record(
        name=draw(strategies.names),
        spec=TaskSpec(command="true", instance_type=draw(st.none() | strategies.shapes)),
        limit=draw(strategies.prices),
        outcome=outcome,
        reason=draw(st.text(max_size=99)),
        released=outcome is not None,
    )
    return Row(
        view=TaskView(record=found, allocation=draw(st.none() | strategies.allocations)),
        quote=draw(st.none() | strategies.quotes),
        spent=draw(strategies.spends),
        is_estimate=draw(st.booleans()),
    )


overviews = st.builds(
    Overview,
    at=strategies.times,
    rows=st.lists(rows(), max_size=5).map(tuple),
    lines=st.builds(
        lambda few, times: tuple(few * times),
        st.lists(st.tuples(strategies.names, st.text(max_size=90)), max_size=3),
        st.integers(1, 10),
    ),
    watcher_runs=st.booleans(),
)
frames = st.builds(
    Frame,
    provider=st.sampled_from(["mock", "mithril"]),
    simulated=st.booleans(),
    trouble=st.sampled_from(["", "mithril didn't answer: " + "no route to host " * 9]),
    fancy=st.booleans(),
)


def text(seen: Overview | None, width: int = 80, height: int = 24, frame: Frame = FRAME) -> str:
    """The screen as text."""
    return plain(live_screen(seen, frame, width=width, height=height))


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.none() | overviews, frames, st.integers(1, 250), st.integers(1, 60))
def test_a_screen_has_its_size_whatever_is_shown(seen, frame, width, height):
    """Exactly as many lines as there are, none of them longer than wide, and nothing a terminal would obey.

    Where no more can be shown, everything is ASCII; what can't be is a question mark.
    """
    drawing = live_screen(seen, frame, width=width, height=height)
    lines = ["".join(cell.text for cell in line) for line in drawing.lines]

    assert height == len(lines)
    assert max(map(len, lines)) <= width
    assert all(line.isprintable() for line in lines)
    assert text(seen, width=width, height=height, frame=evolve(frame, fancy=False)).isascii()


def row(limit: float, price: float) -> Row:
    """A live bid of so much in a market of so much."""
    spec = TaskSpec(command="true", instance_type=H100)
    found = record(spec=spec, limit=Price.parse(limit), region="east", type_id="t")
    quote = Quote(
        type_id="t", shape=H100, region="east", price=Price.parse(price), floor=Price.parse(1), as_of=EPOCH
    )  # fmt: skip
    return Row(view=TaskView(record=found), quote=quote, spent=Spend.parse(3))


def test_prices_stand_against_limits():
    """A bar says how much of the limit the price takes; at the limit and over it is full."""
    near = text(Overview(at=EPOCH, rows=(row(10, 8),)))
    over = text(Overview(at=EPOCH, rows=(row(10, 12),)))

    assert "━━━━━━━━╌╌  80% of the limit" in near
    assert "━━━━━━━━━━ 120% of the limit" in over


def test_a_wide_screen_has_a_line_a_task():
    """From WIDE columns on, region, bar and nodes are columns; below, they are lines of their own."""
    seen = Overview(at=EPOCH, rows=(row(10, 8), row(12, 8)))
    wide, narrow = text(seen, width=WIDE), text(seen, width=WIDE - 1)

    assert "Of limit" in wide
    assert "Of limit" not in narrow
    assert 2 == sum("80%" in line or "67%" in line for line in wide.splitlines())
    assert narrow.count("of the limit") == 2


@pytest.mark.parametrize(("words", "lines"), [("outbid", 1), ("outbid, " * 9, 2)])
def test_a_wide_screen_cuts_no_reason(words, lines):
    """What a task waits for stands beside it, or below it where there is no room."""
    waits = Waiting(what=words.strip(), since=EPOCH)
    drawn = text(Overview(at=EPOCH, rows=(evolve(row(10, 8), waits_for=waits),)), width=WIDE)
    found = [line for line in drawn.splitlines() if "80%" in line or "outbid" in line]

    assert lines == len(found)
    assert words.strip() in found[-1]


def test_what_does_not_fit_is_counted():
    """More tasks than lines are told by their number, and the log keeps some room."""
    seen = Overview(at=EPOCH, rows=(row(10, 8),) * 30, lines=(("train", "step 1"),) * 50)
    drawn = text(seen, height=20)

    assert "more; `flow status` lists all" in drawn
    assert "step 1" in drawn


def test_trouble_is_told_with_how_old_the_view_is():
    """While a provider is silent the last view stays, and says so."""
    frame = Frame(provider="mithril", trouble="mithril didn't answer", seen_s=12)

    assert "12 s old: mithril didn't answer; asking again" in text(
        Overview(at=EPOCH, rows=(row(10, 8),)), frame=frame
    )


def test_changes_are_states_nodes_and_crossings():
    """What is the same is not told again; a price that passes a limit is, both ways."""
    now, later = row(10, 8), row(10, 12)
    under = Overview(at=EPOCH, rows=(now,))
    over = Overview(at=EPOCH, rows=(evolve(later, view=now.view),))
    same = Overview(at=EPOCH, rows=under.rows)

    assert [] == changes(under, same)
    assert "has reached the limit of $10.00/hr" in changes(under, over)[0][1]
    assert "under the limit of $10.00/hr again" in changes(over, under)[0][1]


def test_a_look_follows_logs_and_sums_what_is_paid(session, pretend_cloud, flow):
    """Lines come once each, whole and without a terminal's commands; the rate is what all nodes cost now."""
    pretend_cloud.on("train", takes="3h", prints=["one", "\x1b[31mtwo\x1b[0m", "10%\r20%"])
    flow("submit", "train", "-i", "8xh100", "-N", "2", "--name", "train", "--no-code", "--detach")
    watcher = Overviews(session.ports)
    pretend_cloud.clock.advance(hours=1, minutes=30)
    first = watcher.look()
    pretend_cloud.clock.advance(hours=3)
    second = watcher.look()

    assert ("train", "one") == first.lines[-1]
    assert [("train", "one"), ("train", "two"), ("train", "20%")] == [
        line for line in second.lines if not line[1].startswith("flow:")
    ]
    assert 2 * 8 == first.hourly.micros / 1e6
    assert first.spent < second.rows[0].spent
    assert Spend.ZERO == second.spent


def test_without_a_terminal_changes_are_lines(flow, pretend_cloud):
    """Each change is a line with its time, until nothing is live any more; the exit code is 0."""
    pretend_cloud.on("train", takes="2h")
    flow("submit", "train", "-i", "8xh100", "--name", "train", "--no-code", "--detach")
    answer = flow("status", "--watch")

    assert 0 == answer.code
    said = [line.split("  ", 1)[1] for line in answer.out.splitlines()]
    assert said[0].startswith("train  bidding")
    assert any(line.startswith("train  running, was ") for line in said)
    assert said[-1].startswith("train  completed, was ")
    assert all(line[10] == " " and line[19] == "Z" for line in answer.out.splitlines())


def test_a_preemption_is_told_as_it_happens(flow, pretend_cloud):
    """Notice, loss and return are lines of their own."""
    pretend_cloud.on("train", takes="3h", checkpoints=True)
    flow("submit", "train", "-i", "8xh100", "--name", "train", "--no-code", "--detach")
    pretend_cloud.clock.advance(hours=1)
    pretend_cloud.outbid("train", lasts="30m")
    said = flow("status", "train", "--watch").out

    assert "train  preempting" in said
    assert "train  preempted, was preempting" in said
    assert "has reached the limit" in said
    assert "under the limit of" in said


def test_a_silent_provider_is_said_once_and_asked_again(flow, pretend_cloud):
    """The view goes on after failures, and says when the provider answers again."""
    pretend_cloud.on("train", takes="2h")
    flow("submit", "train", "-i", "8xh100", "--name", "train", "--no-code", "--detach")
    pretend_cloud.fail_next("quotes", times=3)
    answer = flow("status", "--watch")

    assert 0 == answer.code
    assert 1 == answer.err.count("asking again")
    assert "mock answers again" in answer.err
    assert "completed" in answer.out


def test_as_json_each_change_is_a_list(flow, pretend_cloud):
    """--json writes the list of tasks at the start and whenever something changed."""
    pretend_cloud.on("train", takes="2h")
    flow("submit", "train", "-i", "8xh100", "--name", "train", "--no-code", "--detach")
    told = flow("status", "--watch", "--json").documents

    assert {("task-list", "mock", True)} == {
        (each["kind"], each["provider"], each["watcher_running"]) for each in told
    }
    assert 0 < told[-1]["tasks"][0]["cost"] <= 24
    assert ["bidding", "completed"] == [told[0]["tasks"][0]["state"], told[-1]["tasks"][0]["state"]]


@pytest.mark.parametrize(
    "words, code", [(("nobody", "--watch"), 4), (("--watch", "--every", "soon"), 2)]
)
def test_a_mistake_is_told_before_anything_is_shown(flow, words, code):
    """An unknown task, and a duration that is none."""
    answer = flow("status", *words)

    assert (code, "") == (answer.code, answer.out)


def test_ages_and_costs_do_not_need_a_market(session, pretend_cloud, flow):
    """An ended task has no price, no bar, and its final cost."""
    pretend_cloud.on("train", takes="1h")
    flow("submit", "train", "-i", "8xh100", "--name", "train", "--no-code", "--detach")
    pretend_cloud.clock.advance(hours=4)
    seen = Overviews(session.ports).look()

    assert (0, Price.ZERO) == (seen.live, seen.hourly)
    assert timedelta(0) < seen.at - seen.rows[0].view.record.created_at
    assert "of the limit" not in text(seen)
