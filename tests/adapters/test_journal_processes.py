"""The journal under several processes, and under processes that are killed."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from flow_adapters import journal as queries
from flow_adapters.journal import SqliteJournal
from tests.records import DONE, record

#: What is asked often, with values to ask it for.
QUERIES = [
    ("live", queries._LIVE, {"provider": None}),
    ("find", queries._FIND, {"provider": None, "name": "n5"}),
    ("recent", queries._RECENT, {"provider": "mock", "limit": 20}),
    ("one", queries._ONE, ("t5",)),
    ("namesake", queries._NAMESAKE, ("mock", "n5", "t5")),
    ("events", queries._EVENTS, ("t5",)),
]
ROOT = Path(__file__).resolve().parents[2]


@contextlib.contextmanager
def writer(path: Path, how: str, seed: int):
    """A process of `journal_writer`, ended with the block."""
    command = [sys.executable, "-m", "tests.adapters.journal_writer", str(path), how, str(seed)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.slow
def test_what_was_acknowledged_survives_a_kill(tmp_path):
    """Killed at any moment, a writer leaves a journal that opens and holds all that it said it had written."""
    path = tmp_path / "journal.sqlite"
    chance = Random(11)
    said: dict[str, int] = {}
    for attempt in range(3):
        with (
            writer(path, "ahead", 2 * attempt) as one,
            writer(path, "ahead", 2 * attempt + 1) as two,
        ):
            lines = [one.stdout.readline() for _ in range(chance.randrange(1, 60))]
            for process in (one, two):
                os.kill(process.pid, signal.SIGKILL)
            lines += one.stdout.readlines() + two.stdout.readlines()
        said.update(
            (token, int(count))
            for token, count in (line.split() for line in lines if line.endswith("\n"))
        )
        with contextlib.closing(SqliteJournal(path)) as journal:
            kept = {each.token: each.preemptions for each in journal.live()}
            with journal._file.reading() as database:
                health = database.execute("PRAGMA integrity_check").fetchone()[0]

        assert {} == {token: count for token, count in said.items() if kept.get(token, -1) < count}
        assert "ok" == health
    assert len(said) > 5


@pytest.mark.slow
def test_a_name_is_given_once(tmp_path):
    """Of four processes that add the same twenty names at once, each name goes to exactly one."""
    path = tmp_path / "journal.sqlite"
    with contextlib.ExitStack() as stack:
        writers = [stack.enter_context(writer(path, "names", seed)) for seed in range(4)]
        for each in writers:
            each.stdout.readline()
        for each in writers:
            each.stdin.write("go\n")
            each.stdin.flush()
        got = [each.stdout.read().split() for each in writers]

    assert sorted(f"n{number}" for number in range(20)) == sorted(
        name for names in got for name in names
    )


@pytest.mark.slow
def test_a_claim_ends_with_its_process(tmp_path):
    """A claim held elsewhere is not had here, until its process is killed."""
    path = tmp_path / "journal.sqlite"
    journal = SqliteJournal(path)
    with writer(path, "claim", 0) as process:
        assert "True" == process.stdout.readline().strip()
        with journal.claim("token", "place") as while_alive:
            pass
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        with journal.claim("token", "place") as after:
            pass

    assert (False, True) == (while_alive, after)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_fork_opens_its_own_connection(tmp_path):
    """A forked process writes without harm to its parent's connection."""
    with contextlib.closing(SqliteJournal(tmp_path / "journal.sqlite")) as journal:
        before, within, after = (record(name=name) for name in ("before", "within", "after"))
        journal.add(before)
        child = os.fork()
        if child == 0:
            try:
                journal.add(within)
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        journal.add(after)

        assert [before, within, after] == journal.live()


def test_a_long_journal_is_read_at_once(tmp_path):
    """Of ten thousand records that ended, only the asked-for ones are read, by index."""
    with contextlib.closing(SqliteJournal(tmp_path / "journal.sqlite")) as journal:
        journal.add(record(**DONE))
        with journal._file.writing() as database:
            database.execute(
                """WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)
                INSERT INTO records (token, provider, name, live, ended, spec, rest)
                SELECT 't' || i, 'mock', 'n' || i, 0, 1 + i, spec, rest FROM n, records"""
            )
            plans = {
                name: " ".join(
                    row[3] for row in database.execute("EXPLAIN QUERY PLAN " + query, values)
                )
                for name, query, values in QUERIES
            }

        assert 20 == len(journal.recent(20))
        scans = [
            f"{name}: {plan}"
            for name, plan in plans.items()
            for scan in re.findall(r"SCAN records.{0,30}", plan)
            if "INDEX live_records" not in scan
        ]

        assert [] == scans
