"""How things are measured: medians of some runs, a thing and its peer by turns, so that noise hits both alike."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from attrs import asdict, field, frozen

#: Runs whose time doesn't count: they write bytecode and fill the disk's cache.
WARM_UPS = 1


@frozen(kw_only=True)
class Measured:
    """One line of the table. `value`, `peer` and `limit` are in `unit`; without a limit it is only told."""

    name: str
    value: float
    unit: str = "s"
    limit: float | None = None
    peer: float | None = None
    note: str = ""
    runs: tuple[float, ...] = field(default=())

    @property
    def ratio(self) -> float | None:
        """How many times its peer it takes, where it has one."""
        return self.value / self.peer if self.peer else None

    @property
    def is_ok(self) -> bool:
        """Whether it keeps its limit."""
        return self.limit is None or self.value <= self.limit


@frozen(kw_only=True)
class Effort:
    """How much time to spend: how many runs of each thing, and whether what takes minutes is left out."""

    runs: int
    is_quick: bool = False


FULL = Effort(runs=11)
QUICK = Effort(runs=3, is_quick=True)

Timed = Callable[[], float]


def by_turns(things: Mapping[str, Timed], *, runs: int) -> dict[str, tuple[float, ...]]:
    """Return the times of each thing; every round takes each once, and every other round backwards."""
    found: dict[str, list[float]] = {name: [] for name in things}
    for number in range(WARM_UPS + runs):
        order = list(things) if number % 2 == 0 else list(reversed(list(things)))
        for name in order:
            took = things[name]()
            if number >= WARM_UPS:
                found[name].append(took)
    return {name: tuple(times) for name, times in found.items()}


def median(times: Sequence[float]) -> float:
    """Return the middle one."""
    return statistics.median(times)


def process(
    command: Sequence[str | Path], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> float:
    """Run a command to its exit and return how many seconds that took.

    Raises:
        RuntimeError: it ended with another code than 0, so its time says nothing.
    """
    begun = time.perf_counter()
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=dict(env) if env is not None else surroundings(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    took = time.perf_counter() - begun
    if done.returncode != 0:
        raise RuntimeError(f"{command} ended with {done.returncode}: {done.stderr or done.stdout}")
    return took


def surroundings(**added: str) -> dict[str, str]:
    """Return this process's variables without those that tell Flow or Python something, and `added`."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("FLOW_", "PYTHON", "MITHRIL_"))
    }
    return {**kept, **added}


def beside_python(name: str) -> Path:
    """Return the path of a program that was installed with this Python."""
    return Path(sys.executable).parent / name


def machine() -> dict[str, object]:
    """Return what the numbers were taken on, and how busy it was."""
    return {
        "cores": os.cpu_count(),
        "cpu": _cpu_model(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "load": _load(),
    }


def table(lines: Sequence[Measured]) -> str:
    """Return the lines as text: what, how much, at most, against its peer, and whether it is kept."""
    rows = [("what", "median", "limit", "× peer", "ok", "")]
    for each in lines:
        rows.append(
            (
                each.name,
                _amount(each.value, each.unit),
                _amount(each.limit, each.unit),
                "" if each.ratio is None else f"{each.ratio:.2f}",
                "" if each.limit is None else ("yes" if each.is_ok else "NO"),
                each.note,
            )
        )
    widths = [max(len(row[place]) for row in rows) for place in range(5)]
    return "\n".join(_row(row, widths) for row in rows) + "\n"


def write(path: Path, lines: Sequence[Measured], *, before: Mapping[str, object]) -> None:
    """Write the lines as JSON, with the machine as it was `before` and its load now."""
    document = {
        "version": 1,
        "machine": {**before, "load_after": _load()},
        "measured": [{**asdict(each), "ratio": each.ratio, "ok": each.is_ok} for each in lines],
    }
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", "utf-8")


def _row(row: Sequence[str], widths: Sequence[int]) -> str:
    name, *amounts, note = row
    cells = [cell.rjust(width) for cell, width in zip(amounts, widths[1:], strict=True)]
    return "  ".join([name.ljust(widths[0]), *cells, note]).rstrip()


def _amount(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    if unit == "s":
        return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"
    return f"{value:.1f} {unit}" if unit == "MB" else f"{value:.0f} {unit}".rstrip()


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or "unknown")


def _load() -> list[float] | None:
    try:
        return [round(each, 2) for each in os.getloadavg()]
    except (AttributeError, OSError):
        return None
