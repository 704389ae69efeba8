"""How many batch scripts are read in a second, by one core, and how long an array of a thousand tasks takes."""

from __future__ import annotations

import random
import statistics
import time
from typing import TypedDict

from flow_adapters.wiring import connect_in_memory
from flow_cli.commands.slurm import load_batch_wrapper
from flow_core.domain.slurm.array import array_specs
from flow_core.domain.slurm.converting import convert
from flow_core.domain.slurm.reading import read_batch
from flow_core.domain.status import TaskState
from flow_core.domain.task_form import task_from_mapping
from flow_providers.mock import PretendCloud

SCRIPTS = 2_000
LIMIT_S = 1.0
TASKS = 1_000
ARRAY_LIMIT_S = 5.0
ROUNDS = 3


class Measured(TypedDict):
    """One line of the table: what was measured, its median, and what it must stay under."""

    name: str
    value_s: float
    limit_s: float


def bench_slurm() -> Measured:
    """Read two thousand scripts, no two alike, three times; the limit is a second."""
    scripts = some_scripts(SCRIPTS)
    return {
        "name": f"read {SCRIPTS:,} batch scripts",
        "value_s": statistics.median(_timed(scripts) for _ in range(ROUNDS)),
        "limit_s": LIMIT_S,
    }


def bench_array() -> Measured:
    """Submit an array of a thousand tasks on a cloud in memory, a hundred at once, and wait for the last."""
    return {
        "name": f"an array of {TASKS:,}, 100 at once",
        "value_s": statistics.median(_array_timed() for _ in range(ROUNDS)),
        "limit_s": ARRAY_LIMIT_S,
    }


def some_scripts(count: int, *, seed: int = 2) -> list[str]:
    """Make scripts as people write them: a dozen directives with remarks, and forty lines to run."""
    rng = random.Random(seed)
    return [_script(rng, number) for number in range(count)]


def _script(rng: random.Random, number: int) -> str:
    directives = [
        f"--job-name=train-{number}",
        f"--nodes={rng.randint(1, 64)}",
        "--ntasks-per-node=8",
        rng.choice(("--gres=gpu:8", "--gpus-per-node=h100:8", "--gpus-per-node=4")),
        f"-c {rng.choice((4, 8, 12))}",
        f"--time={rng.randint(0, 6)}-{rng.randint(0, 23):02}:00:00  # until then",
        "--mem=0",
        '--output="logs/%x-%j.out"',
        "--error logs/%x-%j.err",
        "-p gpu -A physics",
        f"--array=0-{rng.randint(0, 999)}%10",
        "--signal=B:USR1@120",
    ]
    head = "".join(f"#SBATCH {each}\n" for each in directives)
    body = "".join(f"export STEP_{line}={rng.random()}\n" for line in range(40))
    return (
        f"#!/bin/bash\n# what this is for\n{head}\nset -euo pipefail\n{body}srun python train.py\n"
    )


def _array_timed() -> float:
    session = connect_in_memory(PretendCloud())
    text = f"#!/bin/bash\n#SBATCH -J fold -a 0-{TASKS - 1}%100 --gres=gpu:a100:1\ntrue\n"
    wrapper = load_batch_wrapper()
    begun = time.perf_counter()
    reading = read_batch(text, name="fold.slurm")
    found = convert(reading, text, wrapper=wrapper, script="fold.slurm", number=7)
    assert found.task is not None
    plan = session.tasks.plan(task_from_mapping(found.task))
    specs = array_specs(plan.spec, found, name="fold")
    session.groups.submit(specs, name="fold", at_once=100, plan=plan)
    *_, view = session.groups.follow("fold")
    taken = time.perf_counter() - begun
    assert {TaskState.COMPLETED: TASKS} == view.states, view.states
    return taken


def _timed(scripts: list[str]) -> float:
    begun = time.perf_counter()
    for text in scripts:
        reading = read_batch(text, name="job.slurm")
        assert reading.batch is not None
    return time.perf_counter() - begun


if __name__ == "__main__":
    found = bench_slurm()
    print(f"{found['name']}: {found['value_s']:.2f} s, {SCRIPTS / found['value_s']:,.0f} a second")
    found = bench_array()
    print(f"{found['name']}: {found['value_s']:.2f} s")
