"""The benchmarks measure what they say; how fast anything is, no test judges."""

from __future__ import annotations

import json
import sys

import pytest

from flow_adapters.journal import SqliteJournal
from tests.benchmarks.__main__ import BENCHES, main
from tests.benchmarks.commands import fill
from tests.benchmarks.harness import Measured, by_turns, median, process, surroundings, table
from tests.benchmarks.installed import names_in, sizes


def test_one_benchmark_can_be_asked_for(tmp_path, capsys):
    """`--only NAME` measures that one, prints its line and writes it with the machine."""
    written = tmp_path / "bench.json"
    code = main(["--only", "noise", "--quick", "--json", str(written)])
    document = json.loads(written.read_text("utf-8"))
    (line,) = document["measured"]

    assert 0 == code
    assert "noise" in capsys.readouterr().out
    assert {"cores", "cpu", "python", "system", "load", "load_after"} == set(document["machine"])
    assert line["ratio"] == line["value"] / line["peer"]
    assert line["value"] == median(line["runs"])


def test_an_unknown_benchmark_is_refused(capsys):
    """A misspelt name is told with those there are."""
    with pytest.raises(SystemExit):
        main(["--only", "speed"])
    said = capsys.readouterr().err

    assert [] == [name for name in BENCHES if name not in said]


def test_a_thing_and_its_peer_take_turns():
    """Each round takes both, now this one first and now the other; the first round doesn't count."""
    taken = []
    times = by_turns(
        {name: lambda name=name: taken.append(name) or len(taken) for name in "ab"}, runs=3
    )

    assert list("abbaabba") == taken
    assert {"a": (4, 5, 8), "b": (3, 6, 7)} == times


def test_the_middle_run_counts():
    """One run that was disturbed changes nothing."""
    assert 2.0 == median([1.0, 90.0, 2.0])


def test_a_limit_is_kept_or_not():
    """What takes as long as its limit keeps it; what has none can't miss it."""
    assert Measured(name="at", value=1.0, limit=1.0).is_ok
    assert not Measured(name="over", value=1.01, limit=1.0).is_ok
    assert Measured(name="free", value=9.0).is_ok


def test_the_table_says_what_is_missed():
    """A line has the median, the limit, the ratio to its peer, and NO where the limit was passed."""
    slow = Measured(name="flow --help", value=0.09, peer=0.03, limit=0.06, note="peer: click")
    heavy = Measured(name="size", value=31.26, unit="MB", limit=45.0)
    (_, first, second) = table([slow, heavy]).splitlines()

    assert [
        "flow",
        "--help",
        "90",
        "ms",
        "60",
        "ms",
        "3.00",
        "NO",
        "peer:",
        "click",
    ] == first.split()
    assert ["size", "31.3", "MB", "45.0", "MB", "yes"] == second.split()


def test_a_command_that_fails_is_not_measured():
    """The time of something that didn't happen is no time."""
    with pytest.raises(RuntimeError, match="ended with 3"):
        process((sys.executable, "-c", "raise SystemExit(3)"))


def test_nothing_of_the_users_reaches_what_is_measured(monkeypatch):
    """Variables that choose a provider or change Python are left out."""
    monkeypatch.setenv("FLOW_PROVIDER", "mithril")
    monkeypatch.setenv("PYTHONSTARTUP", "x")

    assert {"FLOW_STATE_DIR": "here"}.items() <= surroundings(FLOW_STATE_DIR="here").items()
    assert set() == {"FLOW_PROVIDER", "PYTHONSTARTUP"} & set(surroundings())


def test_the_long_journal_can_be_read(tmp_path):
    """What fills the journal is what the journal itself would have written."""
    fill(tmp_path / "journal.sqlite", 12)
    journal = SqliteJournal(tmp_path / "journal.sqlite")
    records = journal.recent(10)

    assert [] == list(journal.live())
    assert [f"task-{number}" for number in range(11, 1, -1)] == [each.name for each in records]
    assert 6 == len(journal.events(records[0].token))


def test_bytecode_and_tools_weigh_nothing(tmp_path):
    """The weight is that of what Flow brings: no .pyc, no pip."""
    for name, size in {"a/x.py": 10, "a/__pycache__/x.pyc": 99, "pip/x.py": 99, "b.py": 5}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"#" * size)
    (tmp_path / "a-1.0.dist-info").mkdir()

    assert {"a": 10, "b.py": 5, "a-1.0.dist-info": 0} == sizes(tmp_path)
    assert {"a"} == names_in(tmp_path)
