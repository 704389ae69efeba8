"""How long the two front doors take to open, against what nobody can avoid."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.benchmarks.harness import (
    Effort,
    Measured,
    beside_python,
    by_turns,
    median,
    process,
)

_PASS = (sys.executable, "-c", "pass")
_CLICK = (sys.executable, "-c", "import click")
#: Start-up is short and noisy, so it is run this many times as often.
_OFTEN = 3


def help_line(effort: Effort) -> list[Measured]:
    """`flow --help` against `import click`: at most twice as long."""
    return [
        _against(
            "flow --help",
            (beside_python("flow"), "--help"),
            _CLICK,
            effort,
            limit=lambda peer: 2.0 * peer,
            note="peer: python -c 'import click'",
        )
    ]


def import_line(effort: Effort) -> list[Measured]:
    """`import flow` against a Python that does nothing: at most half as long again, and 15 ms."""
    return [
        _against(
            "import flow",
            (sys.executable, "-c", "import flow"),
            _PASS,
            effort,
            limit=lambda peer: 1.5 * peer + 0.015,
            note="peer: python -c pass",
        )
    ]


def noise(effort: Effort) -> list[Measured]:
    """A Python that does nothing against itself: how far a ratio strays by chance today."""
    return [_against("noise", _PASS, _PASS, effort, limit=None, note="peer: the same again")]


def _against(
    name: str,
    command: Sequence[str | Path],
    peer: Sequence[str | Path],
    effort: Effort,
    *,
    limit: Callable[[float], float] | None,
    note: str,
) -> Measured:
    with tempfile.TemporaryDirectory() as folder:
        # An empty folder, so that no file of the current one is found first.
        times = by_turns(
            {
                "value": lambda: process(command, cwd=Path(folder)),
                "peer": lambda: process(peer, cwd=Path(folder)),
            },
            runs=effort.runs * _OFTEN,
        )
    value, base = median(times["value"]), median(times["peer"])
    return Measured(
        name=name,
        value=value,
        peer=base,
        limit=limit(base) if limit is not None else None,
        note=note,
        runs=times["value"],
    )
