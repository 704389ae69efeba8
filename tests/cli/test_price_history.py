"""`flow price history` and `flow price backtest`, and the drawings behind them."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from xml.etree import ElementTree

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from flow_adapters.wiring import connect_in_memory
from flow_cli.show.chart import ASCII, UNICODE, price_chart, scale_of
from flow_cli.show.chart_svg import price_svg
from flow_cli.show.layout import plain
from flow_core.domain.budget import Usage
from flow_core.domain.money import Price
from flow_core.domain.own_bids import OwnBid, own_bid
from flow_core.domain.price_track import PriceTrack, track_of
from flow_providers.mock import PretendCloud
from flow_providers.mock.rules import IN_MEMORY, Mood
from tests import strategies
from tests.records import record
from tests.strategies import EPOCH

HOUR = timedelta(hours=1)


@pytest.fixture
def pretend_cloud() -> PretendCloud:
    """A cloud whose prices move."""
    return PretendCloud(rules=evolve(IN_MEMORY, mood=Mood.CALM))


@pytest.fixture
def session(pretend_cloud):
    """A session with it."""
    return connect_in_memory(pretend_cloud)


def track(*hourly: float) -> PriceTrack:
    """A market whose prices each held for an hour from EPOCH on."""
    points = [(EPOCH + HOUR * place, Price.parse(price)) for place, price in enumerate(hourly)]
    return track_of(points, until=EPOCH + HOUR * len(hourly), source="a test")


def bid(limit: float, **times: object) -> OwnBid:
    """A bid that stands from EPOCH on."""
    told = {"since": EPOCH, "until": None, **times}
    return OwnBid(task="train", limit=Price.parse(limit), **told)  # type: ignore[arg-type]


tracks = st.lists(st.integers(100, 5000), min_size=1, max_size=60).map(
    lambda cents: track(*(each / 100 for each in cents))
)


@given(
    tracks,
    st.integers(20, 240),
    st.integers(2, 30),
    st.sampled_from([ASCII, UNICODE]),
    st.booleans(),
)
def test_a_chart_keeps_to_its_width(prices, width, height, glyphs, is_bidding):
    """No line of prices or axis is wider than asked for, and there are as many as asked for."""
    own = bid(prices.prices[0] / 1e6, wins=(EPOCH + HOUR,))
    bids = [own] if is_bidding else []
    lines = plain(price_chart(prices, bids, since=EPOCH, width=width, height=height, glyphs=glyphs))
    rows = lines.splitlines()

    assert height + 2 + is_bidding == len(rows)
    assert max(map(len, rows[: height + 1])) <= max(width, 20)


@given(tracks, st.integers(40, 240))
def test_a_chart_in_letters_is_ascii(prices, width):
    """Where a terminal can't show more, every character is ASCII."""
    drawn = price_chart(prices, [bid(9)], since=EPOCH, width=width, height=9, glyphs=ASCII)

    assert plain(drawn).isascii()


def test_a_peak_is_never_lost_between_columns():
    """One hour of ninety days at three times the price still reaches the top of a narrow chart."""
    prices = track(*[5.0] * 1000, 15.0, *[5.0] * 1000)
    top = plain(price_chart(prices, [], since=EPOCH, width=60, height=10)).splitlines()[0]

    assert any("\u2801" <= letter <= "\u28ff" for letter in top)


def test_marks_differ_by_their_shape():
    """Wins, losses and limits have a sign each, so that a chart without colour says the same."""
    own = bid(7, wins=(EPOCH + HOUR,), losses=(EPOCH + HOUR * 3,))
    drawn = plain(price_chart(track(5, 5, 6, 8, 5), [own], since=EPOCH, width=60, height=9))

    assert all(mark in drawn for mark in ("▲", "▼", "┄"))
    assert "your limit" in drawn


def test_a_limit_far_above_is_told_and_not_drawn():
    """A limit of $99 doesn't flatten prices of $5."""
    scale = scale_of(track(5, 6), [bid(99)], since=EPOCH)
    drawn = plain(price_chart(track(5, 6), [bid(99)], since=EPOCH, width=70, height=6))

    assert scale.high < Price.parse(10).micros
    assert "the limit of train, $99.00/hr, is above the chart" in drawn


@given(tracks, strategies.lines)
def test_a_picture_is_well_formed_whatever_it_is_told(prices, title):
    """Any title, with any characters, gives XML that parses, with one path of the price."""
    own = bid(7, wins=(EPOCH,), losses=(EPOCH,))
    found = ElementTree.fromstring(price_svg(prices, [own], since=EPOCH, title=title, note=title))

    assert found.tag == "{http://www.w3.org/2000/svg}svg"
    assert found.findall("{http://www.w3.org/2000/svg}path[@fill='none']")


def test_gaps_between_paid_times_are_preemptions_where_there_were_any():
    """A gap is a loss and a win; without a preemption on record it was a pause."""
    paid = [
        Usage(bid_id="b", nodes=1, price=Price.parse(5), since=EPOCH, until=EPOCH + HOUR),
        Usage(
            bid_id="b", nodes=1, price=Price.parse(6), since=EPOCH + HOUR, until=EPOCH + HOUR * 2
        ),
        Usage(bid_id="b", nodes=1, price=Price.parse(5), since=EPOCH + HOUR * 4),
    ]
    lost = own_bid(record(began_at=EPOCH, preemptions=1), paid)
    paused = own_bid(record(began_at=EPOCH), paid)

    assert ((EPOCH, EPOCH + HOUR * 4), (EPOCH + HOUR * 2,)) == (lost.wins, lost.losses)
    assert ((EPOCH,), ()) == (paused.wins, paused.losses)


def test_history_draws_prices_and_own_bids(flow, pretend_cloud):
    """The heading has the range, the chart its marks; one line says where it is from."""
    pretend_cloud.on("train", takes="9h")
    flow("submit", "train", "-i", "8xh100", "--policy", "9.50", "--no-code", "--detach")
    pretend_cloud.clock.advance(hours=5)
    drawn = flow(
        "price", "history", "-i", "8xh100", "--region", "us-central5-a", "--since", "2d"
    ).out

    assert drawn.startswith("8xh100 in us-central5-a: $")
    assert "▲" in drawn
    assert "simulated" in drawn


@pytest.mark.parametrize("width", [80, 200])
def test_history_fits_its_terminal(flow, width):
    """On a terminal no line is wider than it."""
    drawn = flow("price", "history", "-i", "8xh100", "--no-color", terminal=True, width=width).out

    assert width - 10 < max(map(len, drawn.splitlines())) <= width
    assert "\x1b" not in drawn


def test_history_is_coloured_on_a_terminal(flow):
    """With colours there are escape codes, and without them the same characters."""
    assert (
        "\x1b[" in flow("price", "history", terminal=True, environ={"TERM": "xterm-256color"}).out
    )


def test_history_as_json_holds_every_price(flow):
    """The document has points in order of time, from the start that was asked for."""
    told = flow("price", "history", "-i", "8xh100", "--since", "1d", "--json").document

    assert ("price-history", "8xh100", True) == (
        told["kind"],
        told["instance_type"],
        told["simulated"],
    )
    assert 48 <= len(told["points"]) <= 50
    assert told["points"] == sorted(told["points"], key=lambda point: point["at"])


def test_history_as_a_picture_goes_to_its_file(flow, tmp_path):
    """--svg writes the file, and says so."""
    answer = flow("price", "history", "-i", "8xh100", "--svg", str(tmp_path / "prices.svg"))

    assert "wrote" in answer.err
    assert ElementTree.parse(tmp_path / "prices.svg").getroot().tag.endswith("svg")


def test_a_picture_that_can_not_be_written_is_told(flow, tmp_path):
    """A folder that isn't there is a mistake of the request, not a fault."""
    answer = flow("price", "history", "--svg", str(tmp_path / "no" / "prices.svg"))

    assert 2 == answer.code
    assert "--svg" in answer.err


def test_a_backtest_says_what_it_played_and_what_came_of_it(flow):
    """The panel names policy, prices and runs, and brackets every number with its interval."""
    told = flow(
        "price", "backtest", "-i", "8xh100", "--policy", "1.5x", "--runs", "50", "--since", "30d"
    ).out

    for words in (
        "Policy",
        "1.5x",
        "Wins nodes",
        "100 % (",
        "Preempted",
        "First node",
        "95 % intervals",
    ):
        assert words in told


def test_a_backtest_as_json_is_numbers(flow):
    """Chances are between 0 and 1, and equal seeds give equal documents."""
    words = (
        "price",
        "backtest",
        "-i",
        "8xh100",
        "--policy",
        "p50/2d",
        "--hours",
        "3",
        "--runs",
        "80",
        "--json",
    )
    told = flow(*words).document["backtest"]

    assert 0 <= told["wins"]["low"] <= told["wins"]["value"] <= told["wins"]["high"] <= 1
    assert told == flow(*words).document["backtest"]
    assert told != flow(*words, "--seed", "1").document["backtest"]
    assert (
        "made-up" in flow(*words, "--synthetic", "stormy").document["backtest"]["prices"]["source"]
    )


@pytest.mark.parametrize(
    "words, said",
    [
        (("history", "--since", "2y"), "--since"),
        (("history", "--since", "400d"), "further back than a year"),
        (("backtest", "--policy", "cheap"), "no bid policy"),
        (("backtest", "--policy", "2x", "--hours", "12", "--within", "3h"), "--within"),
        (("backtest", "--policy", "2x", "--hours", "soon"), "--hours"),
        (("backtest", "--policy", "2x", "--since", "1d"), "doesn't fit into a history"),
        (("-i", "8xh100", "history"), "come after it"),
    ],
)
def test_a_mistake_gets_one_clear_message(flow, words, said):
    """What was asked and what to do, with the exit code of a wrong call."""
    answer = flow("price", *words)

    assert 2 == answer.code
    assert said in answer.err


def test_a_dry_run_explains_the_policy(flow):
    """The plan prints the policy, the limit it gave, and its inputs with their source and age."""
    told = flow(
        "submit", "true", "-i", "8xh100", "--no-code", "--policy", "p90/1d", "--dry-run"
    ).out

    assert "p90/1d gives $" in told
    assert "price history: 1d back" in told
    assert "old)" in told


def test_a_dry_run_as_json_explains_the_policy(flow):
    """The document has the limit, the reason, and each input."""
    words = ("submit", "true", "-i", "8xh100", "--no-code", "--policy", "2x", "--dry-run", "--json")
    plan = flow(*words).document["plan"]

    assert ("2x", "2x") == (plan["policy"]["policy"], plan["task"]["bid_policy"])
    assert plan["max_price_per_hour"] == plan["policy"]["limit_per_hour"]
    assert ["price now"] == [each["name"] for each in plan["policy"]["inputs"]]


@pytest.mark.slow
def test_an_old_terminal_gets_letters(tmp_path: Path):
    """In a real process whose streams are ASCII, the chart is ASCII too."""
    env = {
        **os.environ, "FLOW_STATE_DIR": str(tmp_path / "s"), "FLOW_CONFIG_DIR": str(tmp_path / "c"),
        "HOME": str(tmp_path), "PYTHONIOENCODING": "ascii",
    }  # fmt: skip
    done = subprocess.run(
        [Path(sys.executable).parent / "flow", "--provider", "mock", "price", "history", "-i", "8xh100"],
        env=env, capture_output=True, check=True,
    )  # fmt: skip

    assert done.stdout.isascii()
    assert b"#" in done.stdout
    assert b"\\u" not in done.stdout
