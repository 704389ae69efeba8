"""A process that writes to a journal until it is killed, and says what it wrote once it is written.

Run as `python -m tests.adapters.journal_writer PATH HOW SEED`: `ahead` adds and updates for ever and prints
`token preemptions` after each; `names` adds twenty names and prints those it got; `claim` prints whether it got a claim
and keeps it.
"""

from __future__ import annotations

import sys
from datetime import datetime, timezone
from random import Random

from flow_adapters.journal import SqliteJournal
from flow_core.domain.names import new_token
from flow_core.domain.record import TaskEvent, TaskRecord
from flow_core.domain.task import TaskSpec
from flow_core.errors import NameTaken

EPOCH = datetime(2026, 1, 1, tzinfo=timezone.utc)


def main() -> None:
    """Write as the arguments say."""
    path, how, seed = sys.argv[1:]
    journal, chance = SqliteJournal(path), Random(int(seed))
    if how == "claim":
        with journal.claim("token", "place") as mine:
            print(mine, flush=True)
            sys.stdin.read()
    elif how == "names":
        print("ready", flush=True)
        sys.stdin.readline()
        for number in range(20):
            with_name(journal, chance, f"n{number}")
    else:
        while True:
            ahead(journal, chance)


def with_name(journal: SqliteJournal, chance: Random, name: str) -> None:
    """Add a record of that name, and print the name if nobody had it."""
    try:
        journal.add(drawn(chance, name))
    except NameTaken:
        return
    print(name, flush=True)


def ahead(journal: SqliteJournal, chance: Random) -> None:
    """Add a record and change it a few times, saying so each time."""
    record = drawn(chance, None)
    journal.add(record)
    print(record.token, 0, flush=True)
    for count in range(1, 4):
        journal.update(record.token, preemptions=count, reason="x" * chance.randrange(5_000))
        print(record.token, count, flush=True)
        journal.log(record.token, TaskEvent(at=EPOCH, what=str(count)))


def drawn(chance: Random, name: str | None) -> TaskRecord:
    """A record with a drawn token."""
    token = new_token(chance)
    spec = TaskSpec(command="true")
    return TaskRecord(token=token, name=name or token, provider="mock", spec=spec, created_at=EPOCH)


main()
