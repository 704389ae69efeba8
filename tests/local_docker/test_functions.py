"""One program with an App in two more places: on simulated Mithril and on this machine's Docker."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from tests.local_docker.engine import PYTHON_IMAGE
from tests.stories.simulated_mithril import User, end_processes_of, serving, set_up

pytestmark = [
    pytest.mark.docker,
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="nodes boot on Linux only"),
]

PROGRAM = """\
import json, os
import flow

app = flow.App("everywhere", environment="none", env={"SEED": "1"})

class Odd(Exception):
    pass

@app.function(gpu="8xh100")
def square(x, *, size=0):
    print("squaring", x)
    if x < 0:
        raise Odd(x)
    return x * x, os.getpid(), os.environ["SEED"], bytes(size)

if __name__ == "__main__":
    call = square.spawn(3, size=9_000_000)
    value, process, seed, much = call.result()
    values = list(square.map([1, 2, -1], return_exceptions=True))
    app.close()
    print(json.dumps({
        "values": [value, *(each[0] for each in values[:2])],
        "is warm": {process} == {each[1] for each in values[:2]} and process != os.getpid(),
        "seed": seed, "size": len(much), "said": call.logs(),
        "error": isinstance(values[2], Odd), "cause": "in square" in str(values[2].__cause__),
        "ends": sorted({each.state.value for each in flow.tasks()}),
    }))
"""
SAID = {
    "values": [9, 1, 4],
    "is warm": True,
    "seed": "1",
    "size": 9_000_000,
    "said": ["squaring 3"],
    "error": True,
    "cause": True,
    "ends": ["cancelled"],
}


def test_calls_run_in_containers(tmp_path: Path, docker_host: str):
    """On this machine's Docker, values, exceptions, prints and large results come back, and the container goes."""
    user = at_home(tmp_path)
    settings = user.home / ".config" / "flow"
    settings.mkdir(parents=True)
    text = f'[local-docker]\nimage = "{PYTHON_IMAGE}"\npretend_gpus = "8xh100"\n'
    (settings / "config.toml").write_text(text)
    try:
        said = run(user, FLOW_PROVIDER="local-docker", DOCKER_HOST=docker_host)
    finally:
        end_processes_of(user.home)

    assert said == SAID


def test_calls_run_on_machines_over_ssh(tmp_path: Path):
    """The same on the simulator's booting nodes, through the Mithril adapter."""
    if shutil.which("sshd", path="/usr/sbin:/sbin:/usr/bin") is None:
        pytest.skip("simulated Mithril's nodes need OpenSSH's server")
    user = at_home(tmp_path)
    try:
        with serving(user) as simulator:
            set_up(user, simulator)
            said = run(user)
    finally:
        end_processes_of(user.home)

    assert said == SAID


def at_home(home: Path) -> User:
    """Return a user who has written the program."""
    user = User(home)
    user.folder.mkdir(parents=True)
    (user.folder / "program.py").write_text(PROGRAM)
    return user


def run(user: User, **added: str) -> object:
    """Return what the program prints at its end."""
    answer = user.run(sys.executable, "program.py", **added)
    assert 0 == answer.code, answer
    return json.loads(answer.out)
