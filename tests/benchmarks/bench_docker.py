"""How long tasks on this machine's Docker engine take, beside what `docker` itself takes.

By itself: `python -m tests.benchmarks.bench_docker`.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from flow_providers.local_docker.address import parse_address
from flow_providers.local_docker.engine import Engine
from flow_providers.local_docker.labels import BID
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
from tests.local_docker.engine import PYTHON_IMAGE, running_engine, with_images

FLOW = (beside_python("flow"), "--provider", "local-docker")
TRUE = ("submit", "true", "-i", "cpu", "--yes")
#: Beyond `docker run --rm IMAGE true`, and beyond `docker exec BOX true`.
SUBMIT_BEYOND_S, SSH_BEYOND_S = 0.7, 0.4
FOUR_TIMES = 2.0
#: As many containers as the first word says, on a network of their own, by Docker's own client.
_BARE = """
docker network create flow-bench >/dev/null
for _ in $(seq "$1"); do docker run --rm --network flow-bench "$2" true & done
wait
docker network rm flow-bench >/dev/null
"""


def local_docker(effort: Effort) -> list[Measured]:
    """Tasks of one and of four containers, and a command in a running one; nothing where no engine can be."""
    if shutil.which("docker") is None:
        return []
    with running_engine() as host, user(host) as env:
        with_images(host)
        folder = Path(env["HOME"])
        process((*FLOW, *TRUE), env=env, cwd=folder)  # the helper's interpreter is brought once
        found = by_turns(
            {
                "run": lambda: process(("docker", "run", "--rm", PYTHON_IMAGE, "true"), env=env),
                "one": lambda: process((*FLOW, *TRUE), env=env, cwd=folder),
                "four": lambda: process((*FLOW, *TRUE, "-N", "4"), env=env, cwd=folder),
                "bare one": lambda: _bare(1, env),
                "bare four": lambda: _bare(4, env),
            },
            runs=effort.runs,
        )
        nap = ("submit", "sleep 86400", "-i", "cpu", "--name", "nap", "--yes", "--detach")
        process((*FLOW, *nap), env=env, cwd=folder)
        box = box_of(host)
        found |= by_turns(
            {
                "exec": lambda: process(("docker", "exec", box, "true"), env=env),
                "ssh": lambda: process((*FLOW, "ssh", "nap", "--", "true"), env=env, cwd=folder),
            },
            runs=effort.runs,
        )
        process((*FLOW, "cancel", "nap", "--yes"), env=env, cwd=folder)
    run, one, four, bare_one, bare_four, into, ssh = (
        median(found[name])
        for name in ("run", "one", "four", "bare one", "bare four", "exec", "ssh")
    )
    return [
        Measured(
            name="flow submit true --provider local-docker",
            value=one,
            limit=run + SUBMIT_BEYOND_S,
            peer=run,
            note=f"docker run --rm IMAGE true: {run:.2f} s",
            runs=found["one"],
        ),
        Measured(
            name="four containers",
            value=four,
            limit=one * FOUR_TIMES,
            peer=one,
            note="beside one",
            runs=found["four"],
        ),
        Measured(
            name="four containers, by docker alone",
            value=bare_four,
            peer=bare_one,
            note="beside one; each time on a network that is made and removed",
            runs=found["bare four"],
        ),
        Measured(
            name="flow ssh TASK -- true, local-docker",
            value=ssh,
            limit=into + SSH_BEYOND_S,
            peer=into,
            note=f"docker exec BOX true: {into:.2f} s",
            runs=found["ssh"],
        ),
    ]


def _bare(count: int, env: Mapping[str, str]) -> float:
    return process(("sh", "-c", _BARE, "sh", str(count), PYTHON_IMAGE), env=env)


def box_of(host: str) -> str:
    """Return the name of the only container that runs."""
    query = {"filters": {"label": [BID]}}
    [box] = Engine(parse_address(host)).ask("GET", "/containers/json", query=query)
    return str(box["Names"][0]).lstrip("/")


@contextmanager
def user(host: str) -> Iterator[dict[str, str]]:
    """Yield the variables of a person with an empty home, whose tasks run in the test image."""
    with tempfile.TemporaryDirectory(prefix="flow-bench-") as home:
        settings = Path(home) / "settings"
        settings.mkdir()
        text = f'[local-docker]\nimage = "{PYTHON_IMAGE}"\n'
        (settings / "config.toml").write_text(text, "utf-8")
        yield surroundings(
            HOME=home,
            FLOW_CONFIG_DIR=str(settings),
            FLOW_STATE_DIR=str(Path(home) / "state"),
            DOCKER_HOST=host,
        )


if __name__ == "__main__":
    print(table(local_docker(FULL)), end="")
