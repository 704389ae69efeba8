"""The Mithril adapter and the commands over it, against a simulator that is a process of its own on loopback."""

from __future__ import annotations

import itertools
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import httpx
from attrs import frozen

from flow_adapters.clocks import SystemClock
from flow_adapters.journal import SqliteJournal
from flow_adapters.ssh import SshShell
from flow_core.domain.record import TaskRecord
from flow_providers.mithril.facts import LANES
from flow_providers.mithril.roles import open_provider
from tests.benchmarks.bench_simulator import BIDS, filled
from tests.benchmarks.harness import Effort, Measured, beside_python, by_turns, median, process
from tests.stories.simulated_mithril import Simulator, User, serving, set_up

LIST_RATIO = 1.4
STATUS_RATIO, STATUS_MORE_S = 2.0, 0.150
SUBMIT_LIMIT_S = 15.0
#: The code that is submitted.
CODE_BYTES = 100_000
FLOW = beside_python("flow")
#: How often the journal is looked at while a task is submitted, in seconds; no stage is known better.
_LOOK_S = 0.01


def listing(effort: Effort) -> list[Measured]:
    """Every bid of a project, page by page: through the adapter, and by a bare loop over the same pages."""
    with filled(500 if effort.is_quick else BIDS) as world, someone() as user:
        count = len(world.bids)
        words = ("--no-boot", "--state-dir", str(world.folder))
        with serving(user, *words, rate=0.001) as simulator:
            times = by_turns(
                {
                    "value": lambda: _adapter_lists(simulator, user, count),
                    "peer": lambda: _loop_lists(simulator, count),
                },
                runs=effort.runs,
            )
    base = median(times["peer"])
    return [
        Measured(
            name=f"mithril: list {count:,} bids",
            value=median(times["value"]),
            peer=base,
            limit=LIST_RATIO * base,
            note="peer: a bare httpx loop over the same pages",
            runs=times["value"],
        )
    ]


def looking(effort: Effort) -> list[Measured]:
    """`flow status` of a user with nothing live, and of one whose instance runs."""
    peer = (sys.executable, "-c", "import httpx")
    lines = []
    with someone() as user, serving(user) as simulator:
        set_up(user, simulator)
        user.flow("submit", "true", "-i", "8xh100", "--no-code")
        for what in ("none live", "one live"):
            if what == "one live":
                user.flow("instance", "create", "-i", "8xh100", "--name", "box", "--yes")
            times = by_turns(
                {
                    "value": lambda: process((FLOW, "status"), env=user.environ, cwd=user.folder),
                    "peer": lambda: process(peer, cwd=user.folder),
                },
                runs=effort.runs,
            )
            base = median(times["peer"])
            lines.append(
                Measured(
                    name=f"mithril: flow status, {what}",
                    value=median(times["value"]),
                    peer=base,
                    limit=STATUS_RATIO * base + STATUS_MORE_S,
                    note="peer: python -c 'import httpx'",
                    runs=times["value"],
                )
            )
        user.flow("instance", "delete", "box", "--yes")
        user.is_watched()
    return lines


def submitting(effort: Effort) -> list[Measured]:
    """`flow submit true -i 8xh100` on a market of 600 seconds a second, and where the time went."""
    with someone() as user, serving(user, rate=600) as simulator:
        set_up(user, simulator)
        # More than rides in the startup script, so that each stage is there.
        (user.folder / "code.bin").write_bytes(random.Random(0).randbytes(CODE_BYTES))
        runs = [_submitted(user, simulator, rate=600) for _ in range(effort.runs + 1)][1:]
        user.is_watched()
    whole = tuple(each.whole for each in runs)
    stages = [
        Measured(
            name=f"  of it {stage}",
            value=median([each.stages[stage] for each in runs]),
            note=note,
            runs=tuple(each.stages[stage] for each in runs),
        )
        for stage, note in _STAGES.items()
    ]
    total = Measured(
        name="mithril: flow submit true -i 8xh100",
        value=median(whole),
        limit=SUBMIT_LIMIT_S,
        note=f"600 simulated seconds a second; {CODE_BYTES // 1000} kB of code",
        runs=whole,
    )
    return [total, *stages]


#: What a submit's time goes to, in order, each with what ends it.
_STAGES = {
    "start": "until the task is in the journal",
    "bid": "until the bid is placed",
    "allocation": "until the market grants it",
    "boot": "until the node's script asks for its files",
    "ssh": "until the watcher has found and reached the node",
    "code": "until files and membership are delivered",
    "command": "until the watcher has read its exit code",
    "end": "until flow has read the log and left",
}


@frozen
class _Run:
    whole: float
    stages: dict[str, float]


def _submitted(user: User, simulator: Simulator, *, rate: float) -> _Run:
    """Submit, read the journal from outside meanwhile, and return how long each stage took."""
    journal = SqliteJournal(user.home / ".local" / "state" / "flow" / "journal.sqlite")
    before = {each.token for each in journal.recent(1000)}
    record: TaskRecord | None = None
    seen: dict[str, float] = {}
    began = time.time()
    running = subprocess.Popen(
        [FLOW, "submit", "true", "-i", "8xh100"],
        cwd=user.folder,
        env=user.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while running.poll() is None:
        now = time.time()
        if record is None:
            record = next((each for each in journal.recent(10) if each.token not in before), None)
        for event in journal.events(record.token) if record is not None else ():
            seen.setdefault(event.what, now)
        time.sleep(_LOOK_S)
    ended = time.time()
    journal.close()
    if running.returncode != 0 or record is None:
        raise RuntimeError(f"flow submit ended with {running.returncode}, having {list(seen)}")
    marks = [
        began,
        _first(seen, "submitted"),
        _first(seen, "bid "),
        _granted_at(simulator, journal.find(record.token), rate=rate),
        datetime.fromisoformat(_first_word(user, record.name)).timestamp(),
        _first(seen, "nodes were granted"),
        _first(seen, "code and membership"),
        _first(seen, "the task succeeded"),
        ended,
    ]
    # The watcher may see the grant while the node still boots; then reaching it took no time of its own.
    marks = list(itertools.accumulate(marks, max))
    lasted = [after - mark for mark, after in itertools.pairwise(marks)]
    return _Run(ended - began, dict(zip(_STAGES, lasted, strict=True)))


def _first(seen: dict[str, float], beginning: str) -> float:
    return next(at for what, at in seen.items() if what.startswith(beginning))


def _granted_at(simulator: Simulator, record: TaskRecord, *, rate: float) -> float:
    """Return the real time at which the market granted the task's bid."""
    query = {"project": simulator.said["project"], "bid_fid": record.bid_id or ""}
    (history,) = simulator.get("/v2/instances/status/history", query)["instances"]
    told, now = simulator.control("status")["now"], time.time()
    passed = datetime.fromisoformat(told) - datetime.fromisoformat(
        history["events"][0]["timestamp"]
    )
    return now - passed.total_seconds() / rate


def _first_word(user: User, name: str) -> str:
    """Return when the node's script said its first word, on the node's own clock, which is real."""
    (line, *_) = user.flow("logs", name, "--json").out.splitlines()
    at: str = json.loads(line)["at"]
    return at


def _adapter_lists(simulator: Simulator, user: User, count: int) -> float:
    """List all bids with an adapter that knows nothing yet; return how long that took."""
    shell = SshShell(state_dir=user.home)
    begun = time.perf_counter()
    provider = open_provider(
        simulator.url,
        find_key=lambda: simulator.said["api_key"],
        clock=SystemClock(),
        shell=shell,
        project=simulator.said["project"],
        lanes=LANES,
    )
    found = provider.market.bids()
    took = time.perf_counter() - begun
    if len(found) != count:
        raise RuntimeError(f"the adapter found {len(found)} bids of {count}")
    return took


def _loop_lists(simulator: Simulator, count: int) -> float:
    """Fetch the same pages and read their JSON, and nothing else."""
    begun = time.perf_counter()
    found, cursor = 0, None
    with httpx.Client(
        base_url=simulator.url,
        headers={"authorization": f"Bearer {simulator.said['api_key']}"},
        trust_env=False,
    ) as client:
        query = {"project": simulator.said["project"], "limit": "100"}
        query |= {"sort_by": "created_at", "sort_dir": "desc"}
        while True:
            page = client.get(
                "/v2/spot/bids", params=query | ({"next_cursor": cursor} if cursor else {})
            ).json()
            found += len(page["data"])
            cursor = page["next_cursor"]
            if cursor is None:
                break
    took = time.perf_counter() - begun
    if found != count:
        raise RuntimeError(f"the loop found {found} bids of {count}")
    return took


@contextmanager
def someone() -> Iterator[User]:
    """Somebody with an empty home, for the time of a measurement."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "work").mkdir()
        yield User(Path(folder))
