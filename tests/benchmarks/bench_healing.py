"""How soon a command hears of a notice, and how soon it runs again once its nodes are granted again.

Two nodes of the mock are processes of this machine, a watcher drives them as for any user. The command writes down the
time when it begins and when it is told. A notice lasts ten real seconds, and boots take no time at all.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import cast

from flow_adapters.wiring import connect
from flow_providers.mock.control import Control
from flow_providers.mock.market import PretendMarket
from tests.benchmarks.commands import FLOW, user
from tests.benchmarks.harness import Effort, Measured, median, process

SIGNAL_LIMIT_S = 2.0
AGAIN_LIMIT_S = 3.0
NODES = 2
RATE = 600
#: From the outbid to the grant, in real seconds: the notice, and a little more.
AWAY_S = 12.0
PATIENCE_S = 60.0
#: Each line is a file of its own: two nodes write at once.
SCRIPT = """
now() { date +%s.%N > $PLACE/$1-$FLOW_RESTART_COUNT-$FLOW_NODE_RANK.new
        mv $PLACE/$1-$FLOW_RESTART_COUNT-$FLOW_NODE_RANK.new $PLACE/$1-$FLOW_RESTART_COUNT-$FLOW_NODE_RANK; }
trap 'now told; kill $!; exit 1' USR1
now began
[ $FLOW_RESTART_COUNT -gt 0 ] && exit 0
sleep 600 & wait
"""


def healing(effort: Effort) -> list[Measured]:
    """A preemption of two nodes: notice to signal, and grant to the command's second begin; the slower node counts."""
    found = [_preempted() for _ in range(min(effort.runs, 7))]
    told, again = tuple(each[0] for each in found), tuple(each[1] for each in found)
    return [
        Measured(
            name="notice to signal in the command",
            value=median(told),
            limit=SIGNAL_LIMIT_S,
            note=f"{NODES} nodes of the mock, the slower one; slowest of all {max(told):.2f} s",
            runs=told,
        ),
        Measured(
            name="re-allocation to command running",
            value=median(again),
            limit=AGAIN_LIMIT_S,
            note=f"without the boot, which takes no time here; slowest of all {max(again):.2f} s",
            runs=again,
        ),
    ]


def _preempted() -> tuple[float, float]:
    """Return the seconds from the notice to the signal, and from the new grant to the command's new begin."""
    with user() as env:
        env["FLOW_MOCK_RATE"] = str(RATE)
        folder = Path(env["FLOW_STATE_DIR"]).parent
        words = ("submit", SCRIPT, "-i", "a100", "-N", str(NODES), "--name", "bench", "--no-code")
        process((FLOW, *words, "--env", f"PLACE={folder}", "--detach"), env=env, cwd=folder)
        _all(folder, "began-0")
        session = connect(environ=env, state_dir=Path(env["FLOW_STATE_DIR"]))
        control = Control(cast("PretendMarket", session.provider.market).engine)
        noticed = time.time()
        control.outbid("bench", lasts=timedelta(seconds=AWAY_S * RATE))
        told = _all(folder, "told-0")
        again = _all(folder, "began-1")
        _until(lambda: session.tasks.record("bench").released)
        return told - noticed, again - (noticed + AWAY_S)


def _all(folder: Path, what: str) -> float:
    """Wait until every node has said `what`; return when the last one did."""
    places = [folder / f"{what}-{rank}" for rank in range(NODES)]
    _until(lambda: all(place.exists() for place in places))
    return max(float(place.read_text()) for place in places)


def _until(is_so: Callable[[], bool]) -> None:
    ends = time.monotonic() + PATIENCE_S
    while not is_so():
        if time.monotonic() > ends:
            raise RuntimeError("what was waited for did not come, so there is nothing to measure")
        time.sleep(0.02)
