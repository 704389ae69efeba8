"""`make bench`, `python -m tests.benchmarks`: measure, print a table, write bench.json.

Ends with 1 when a limit was passed, so look at the load before believing it: `noise` says what chance does.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.benchmarks.bench_app import app_in_memory, app_on_processes
from tests.benchmarks.bench_auction import bench_auction
from tests.benchmarks.bench_backtest import backtest
from tests.benchmarks.bench_cluster import cluster
from tests.benchmarks.bench_dev import dev_on_docker, dev_on_simulator
from tests.benchmarks.bench_docker import local_docker
from tests.benchmarks.bench_healing import healing
from tests.benchmarks.bench_logs import following
from tests.benchmarks.bench_mithril import listing, looking, submitting
from tests.benchmarks.bench_simulator import simulator
from tests.benchmarks.bench_slurm import bench_array, bench_slurm
from tests.benchmarks.bench_ssh import no_op
from tests.benchmarks.bench_upload import upload
from tests.benchmarks.commands import status, submit
from tests.benchmarks.harness import FULL, QUICK, Effort, Measured, machine, table, write
from tests.benchmarks.installed import installed
from tests.benchmarks.startup import help_line, import_line, noise


def auction(effort: Effort) -> list[Measured]:
    """A million open bids in one market."""
    found = bench_auction()
    return [
        Measured(
            name=found["name"], value=found["value_s"], limit=found["limit_s"], note="one core"
        )
    ]


def slurm(effort: Effort) -> list[Measured]:
    """Two thousand batch scripts, read as sbatch reads them; an array of a thousand tasks, run to its end."""
    return [
        Measured(name=each["name"], value=each["value_s"], limit=each["limit_s"], note=note)
        for each, note in ((bench_slurm(), "one core"), (bench_array(), "in memory"))
    ]


BENCHES: dict[str, Callable[[Effort], list[Measured]]] = {
    "noise": noise,
    "help": help_line,
    "import": import_line,
    "submit": submit,
    "status": status,
    "auction": auction,
    "slurm": slurm,
    "backtest": backtest,
    "simulator": simulator,
    "healing": healing,
    "local-docker": local_docker,
    "cluster": cluster,
    "dev": dev_on_simulator,
    "dev-docker": dev_on_docker,
    "app-in-memory": app_in_memory,
    "app": app_on_processes,
    "mithril-list": listing,
    "mithril-status": looking,
    "mithril-submit": submitting,
    "ssh": no_op,
    "upload": upload,
    "logs": following,
    "installed": installed,
}


def main(words: Sequence[str] | None = None) -> int:
    """Measure what is asked for and return 0, or 1 when a limit was passed."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument(
        "--only", metavar="NAME", action="append", choices=BENCHES, help=", ".join(BENCHES)
    )
    parser.add_argument("--quick", action="store_true", help="few runs, and nothing installed")
    parser.add_argument("--json", metavar="FILE", type=Path, default=Path("bench.json"))
    asked = parser.parse_args(words)
    effort, before = QUICK if asked.quick else FULL, machine()
    lines: list[Measured] = []
    for name in asked.only or BENCHES:
        sys.stderr.write(f"measuring {name} …\n")
        lines += BENCHES[name](effort)
    write(asked.json, lines, before=before)
    print(table(lines), end="")
    print(
        f"\n{', '.join(f'{name} {value}' for name, value in before.items())}; all in {asked.json}"
    )
    return int(not all(each.is_ok for each in lines))


if __name__ == "__main__":
    sys.exit(main())
