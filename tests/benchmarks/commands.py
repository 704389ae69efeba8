"""How long whole commands take on the mock of this machine, from their start to their exit."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from random import Random

from flow_adapters.journal import SqliteJournal
from flow_adapters.locks import is_held
from flow_adapters.watch import LOCK_NAME
from flow_core.domain.bid import BidState
from flow_core.domain.money import Price, Spend
from flow_core.domain.names import new_token
from flow_core.domain.record import Outcome, Step, TaskEvent, TaskRecord
from flow_core.domain.shape import parse_shape
from flow_core.domain.task import TaskSpec
from tests.benchmarks.harness import (
    Effort,
    Measured,
    beside_python,
    median,
    process,
    surroundings,
)

FLOW = beside_python("flow")
SUBMIT = (FLOW, "submit", "true", "-i", "a100")
SUBMIT_LIMIT_S = 1.0
STATUS_LIMIT_S = 0.5
ENDED = 10_000
LIVE = 3
EVENTS_EACH = 6
_START = datetime(2026, 1, 1, tzinfo=timezone.utc)


def submit(effort: Effort) -> list[Measured]:
    """`flow submit true -i a100`: with nothing there before, and with a watcher that runs already."""
    fresh: list[float] = []
    for _ in range(effort.runs + 1):
        with user() as env:
            fresh.append(process(SUBMIT, env=env, cwd=Path(env["FLOW_STATE_DIR"]).parent))
    with user() as env:
        again = [
            process(SUBMIT, env=env, cwd=Path(env["FLOW_STATE_DIR"]).parent)
            for _ in range(effort.runs + 1)
        ]
    return [
        Measured(
            name="flow submit true -i a100",
            value=median(fresh[1:]),
            limit=SUBMIT_LIMIT_S,
            note="instant market, fresh state folder, no watcher yet",
            runs=tuple(fresh[1:]),
        ),
        Measured(
            name="flow submit, again",
            value=median(again[1:]),
            limit=SUBMIT_LIMIT_S,
            note="instant market, the watcher of the submit before still runs",
            runs=tuple(again[1:]),
        ),
    ]


def status(effort: Effort) -> list[Measured]:
    """`flow status` over a long journal with a few live tasks."""
    with user() as env:
        folder = Path(env["FLOW_STATE_DIR"]).parent
        for _ in range(LIVE):
            process((FLOW, "submit", "sleep infinity", "-i", "a100", "-d"), env=env, cwd=folder)
        fill(Path(env["FLOW_STATE_DIR"]) / "journal.sqlite", ENDED)
        times = [process((FLOW, "status"), env=env, cwd=folder) for _ in range(effort.runs + 1)]
    return [
        Measured(
            name=f"flow status, {ENDED:,} tasks",
            value=median(times[1:]),
            limit=STATUS_LIMIT_S,
            note=f"{ENDED:,} ended tasks with {EVENTS_EACH} events each, {LIVE} live ones, watched",
            runs=tuple(times[1:]),
        )
    ]


@contextmanager
def user() -> Iterator[dict[str, str]]:
    """The variables of someone with empty folders and an instant mock; their watcher is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / "state"
        env = surroundings(
            FLOW_PROVIDER="mock",
            FLOW_MOCK_INSTANT="1",
            FLOW_STATE_DIR=str(state),
            FLOW_CONFIG_DIR=str(Path(folder) / "config"),
        )
        try:
            yield env
        finally:
            process((FLOW, "mock", "reset", "--yes"), env=env, cwd=Path(folder))
            _wait_for_the_watcher(state)


def fill(path: Path, count: int, *, seed: int = 2) -> None:
    """Add `count` ended tasks with their histories to the journal in the file `path`."""
    journal, chance = SqliteJournal(path), Random(seed)
    spec = TaskSpec(command="python train.py", code=".", instance_type=parse_shape("8xh100"))
    for number in range(count):
        begun = _START + timedelta(minutes=number)
        record = TaskRecord(
            token=new_token(chance),
            name=f"task-{number}",
            provider="mock",
            spec=spec,
            created_at=begun,
            step=Step.PLACED,
            region="us-central5-a",
            type_id="it_bench",
            limit=Price.from_cents(1_200),
            bid_id=f"bid_bench{number}",
            bid_state=BidState.TERMINATED,
            began_at=begun + timedelta(minutes=2),
            outcome=Outcome.SUCCEEDED,
            exit_code=0,
            ended_at=begun + timedelta(hours=1),
            released=True,
            spent=Spend.parse("8.00"),
        )
        journal.add(record)
        for place in range(EVENTS_EACH):
            at = begun + timedelta(minutes=place)
            journal.log(record.token, TaskEvent(at=at, what="something happened", why="it was so"))
    journal.close()


def _wait_for_the_watcher(state: Path, *, patience_s: float = 20.0) -> None:
    """Return when no watcher runs, so that the next measurement has the machine to itself."""
    until = time.monotonic() + patience_s
    while is_held(state / LOCK_NAME):
        if time.monotonic() > until:
            raise RuntimeError(f"the watcher of {state} did not go within {patience_s:g} s")
        time.sleep(0.05)
