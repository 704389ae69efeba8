"""The second `flow dev -- true`, whole processes: on simulated Mithril over SSH, and on Docker beside `docker exec`.

The simulator, its node and its SSH server are on the same machine, so their work is in the numbers too.
By itself: `python -m tests.benchmarks.bench_dev`.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks.bench_docker import box_of
from tests.benchmarks.bench_docker import user as docker_user
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
from tests.local_docker.engine import running_engine, with_images
from tests.stories.simulated_mithril import User, end_processes_of, serving, set_up

FLOW = beside_python("flow")
SIMULATOR_S, BEYOND_EXEC_S, CHANGED_S = 1.0, 0.5, 0.2
FILES = 1_000


def dev_on_simulator(effort: Effort) -> list[Measured]:
    """A no-op on a box of simulated Mithril; then among 1,000 files of which one has changed."""
    with _simulated() as (env, folder):
        words = (FLOW, "dev", "-i", "a100", "--yes", "--", "true")
        found = _measured(words, env, folder, {}, runs=effort.runs)
    plain, changed = median(found["plain"]), median(found["changed"])
    return [
        Measured(
            name="flow dev -- true, simulator", value=plain, limit=SIMULATOR_S,
            note="second call, over SSH", runs=found["plain"],
        ),
        _changed("simulator", changed, plain, found),
    ]  # fmt: skip


def dev_on_docker(effort: Effort) -> list[Measured]:
    """The same on a container, beside `docker exec`; nothing where no engine can be."""
    if shutil.which("docker") is None:
        return []
    with running_engine() as host, docker_user(host) as env:
        with_images(host)
        folder = Path(env["HOME"]) / "code"
        folder.mkdir()
        words = (
            FLOW, "--provider", "local-docker", "dev", "-i", "cpu", "--yes", "--", "true",
        )  # fmt: skip
        box: list[str] = []

        def entered() -> float:
            box[:] = box or [box_of(host)]
            return process(("docker", "exec", box[0], "true"), env=env)

        found = _measured(words, env, folder, {"exec": entered}, runs=effort.runs)
        stop = (FLOW, "--provider", "local-docker", "dev", "stop", "--end", "--yes")
        process(stop, env=env, cwd=folder)
    plain, changed, into = (median(found[name]) for name in ("plain", "changed", "exec"))
    return [
        Measured(
            name="flow dev -- true, local-docker", value=plain, limit=into + BEYOND_EXEC_S, peer=into,
            note=f"docker exec BOX true: {into:.2f} s", runs=found["plain"],
        ),
        _changed("local-docker", changed, plain, found),
    ]  # fmt: skip


def _measured(
    words: tuple[str | Path, ...],
    env: Mapping[str, str],
    folder: Path,
    peers: Mapping[str, Callable[[], float]],
    *,
    runs: int,
) -> dict[str, tuple[float, ...]]:
    """Make the box, and time a call with nothing to send, its peers, and a call with one changed file of many."""
    process(words, env=env, cwd=folder)
    # Only the first call takes what describes a machine.
    again = tuple(each for each in words if each not in ("-i", "a100", "cpu", "--yes"))
    found = by_turns({"plain": lambda: process(again, env=env, cwd=folder), **peers}, runs=runs)
    for number in range(FILES):
        place = folder / f"d{number % 10}" / f"f{number}.py"
        place.parent.mkdir(exist_ok=True)
        place.write_text(f"x = {number}\n" * 50)
    counted = itertools.count()

    def changed() -> float:
        (folder / "d0" / "f0.py").write_text(f"x = -{next(counted)}\n")
        return process(again, env=env, cwd=folder)

    return {**found, **by_turns({"changed": changed}, runs=runs)}


def _changed(
    where: str, changed: float, plain: float, found: Mapping[str, tuple[float, ...]]
) -> Measured:
    return Measured(
        name=f"flow dev, {FILES:,} files, one changed, {where}", value=changed, limit=plain + CHANGED_S,
        peer=plain, note=f"at most {CHANGED_S} s beyond a call with nothing to send", runs=found["changed"],
    )  # fmt: skip


@contextmanager
def _simulated() -> Iterator[tuple[dict[str, str], Path]]:
    """Yield the variables and the folder of somebody whom simulated Mithril knows, its time being real."""
    with tempfile.TemporaryDirectory(prefix="flow-bench-") as place:
        home = Path(place)
        (home / "work").mkdir()
        user = User(home)
        try:
            with serving(user, rate=1) as running:
                set_up(user, running)
                env = surroundings(**user.environ)
                yield env, user.folder
                process((FLOW, "dev", "stop", "--end", "--yes"), env=env, cwd=user.folder)
        finally:
            end_processes_of(home)


if __name__ == "__main__":
    print(table([*dev_on_simulator(FULL), *dev_on_docker(FULL)]), end="")
