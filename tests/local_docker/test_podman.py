"""Podman's service on its socket, which speaks the engine's language with an accent: a real one."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from flow_adapters.clocks import SystemClock
from flow_core.errors import FlowError
from flow_providers.local_docker.address import parse_address
from flow_providers.local_docker.engine import Engine
from tests.local_docker.engine import BARE_IMAGE, engine_folder, refuse, unmounted, with_images
from tests.local_docker.user import HANGS_S, User

pytestmark = [pytest.mark.docker, pytest.mark.slow]


@pytest.fixture
def podman() -> Iterator[str]:
    """The address of a Podman service that has the bare image."""
    if shutil.which("podman") is None or os.geteuid() != 0:
        refuse("needs root and Debian's podman, with catatonit and containernetworking-plugins")
    # It gives containers higher limits than root may have where the machine itself is in a container.
    limits = '"nofile=10000:10000", "nproc=10000:10000"'
    with engine_folder() as folder:
        settings = folder / "containers.conf"
        settings.write_text(f"[containers]\ndefault_ulimits = [{limits}]\n")
        env = {**os.environ, "CONTAINERS_CONF": str(settings)}
        command = ["podman", "--root", str(folder / "root"), "--runroot", str(folder / "run")]
        host = f"unix://{folder}/podman.sock"
        with (folder / "log").open("wb") as log:
            served = [*command, "system", "service", "--time=0", host]
            service = subprocess.Popen(served, env=env, stdout=log, stderr=log)
        try:
            _until_it_answers(Engine(parse_address(host)))
            with_images(host, only=BARE_IMAGE)
            yield host
        finally:
            away = [*command, "rm", "--all", "--force", "--time", "0"]
            subprocess.run(away, env=env, check=False, capture_output=True, timeout=HANGS_S)
            service.terminate()
            service.wait(HANGS_S)
            unmounted(folder)


def test_tasks_and_a_dev_box_run_on_podman(tmp_path: Path, podman: str):
    """Two nodes have code, ranks and each other; a task is entered, and cancelled; a box stays; nothing is left."""
    user = User(tmp_path, podman, BARE_IMAGE)
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "word").write_text("from my folder\n")
    line = 'cat word; echo "$FLOW_NODE_RANK of $FLOW_NUM_NODES"; exit "$FLOW_NODE_RANK"'
    both = user.run("submit", line, "-i", "cpu", "-N", "2", "--name", "both", "--yes")
    user.flow("submit", "sleep 600", "-i", "cpu", "--name", "nap", "--yes", "-d")
    entered = user.run("ssh", "nap", "--", "cat word; exit 3")
    user.flow("cancel", "nap", "--yes")
    first = user.run("dev", "-i", "cpu", "--yes", "--", "cat word; pwd")
    (tmp_path / "code" / "word").write_text("changed\n")
    second = user.run("dev", "--", "cat word; exit 4")
    user.flow("dev", "stop")

    assert 1 == both.returncode
    for rank in (0, 1):
        assert f"[{rank}] from my folder\n" in both.stdout
        assert f"[{rank}] {rank} of 2\n" in both.stdout
    assert (3, "from my folder\n") == (entered.returncode, entered.stdout)
    assert "from my folder\n/workspace\n" == first.stdout
    assert (4, "changed\n") == (second.returncode, second.stdout)
    assert [] == user.left("both-") + user.left("nap-") + user.left("dev-code")


def _until_it_answers(engine: Engine) -> None:
    clock = SystemClock()
    for _ in range(300):
        try:
            engine.ask("GET", "/_ping")
        except FlowError:
            clock.sleep(0.1)
        else:
            return
    refuse("Podman's service doesn't answer")
