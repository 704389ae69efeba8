"""How long a task on a Slurm cluster takes, beside what `sbatch --wait` itself takes.

By itself: `python -m tests.benchmarks.bench_cluster`.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks.harness import (
    FULL,
    Effort,
    Measured,
    beside_python,
    by_turns,
    median,
    process,
    surroundings,
    table,
)
from tests.slurm.cluster import missing_programs
from tests.slurm_provider.cluster import RunningCluster

TRUE = (beside_python("flow"), "--provider", "slurm", "submit", "true", "-i", "cpu", "--yes")
BEYOND_S = 0.6


def cluster(effort: Effort) -> list[Measured]:
    """One task on one node; nothing where no Slurm can be."""
    if missing_programs() or os.geteuid() != 0:
        return []
    with user() as env:
        folder = Path(env["HOME"]) / "work"
        folder.mkdir()
        process(TRUE, env=env, cwd=folder)
        found = by_turns(
            {
                "sbatch": lambda: process(("sbatch", "--wait", "--wrap=true"), env=env, cwd=folder),
                "flow": lambda: process(TRUE, env=env, cwd=folder),
            },
            runs=effort.runs,
        )
    peer, ours = median(found["sbatch"]), median(found["flow"])
    return [
        Measured(
            name="flow submit true --provider slurm",
            value=ours,
            limit=peer + BEYOND_S,
            peer=peer,
            note=f"sbatch --wait --wrap=true: {peer:.2f} s",
            runs=found["flow"],
        )
    ]


@contextmanager
def user() -> Iterator[dict[str, str]]:
    """Yield the variables of a person with an empty home on a cluster of their own."""
    with tempfile.TemporaryDirectory(prefix="slurm-") as home:
        running = RunningCluster(Path(home) / "c")
        running.folder.mkdir()
        settings = Path(home) / "settings"
        settings.mkdir()
        text = f'[slurm]\nfolder = "{home}/shared"\npython = "{sys.executable}"\n'
        (settings / "config.toml").write_text(text, "utf-8")
        try:
            running.start()
            yield surroundings(
                HOME=home,
                FLOW_CONFIG_DIR=str(settings),
                FLOW_STATE_DIR=str(Path(home) / "state"),
                SLURM_CONF=str(running.config),
            )
        finally:
            running.stop()


if __name__ == "__main__":
    print(table(cluster(FULL)), end="")
