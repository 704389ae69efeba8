"""Podman's service on its socket, which speaks the engine's language with an accent: a real one."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from flow_adapters.clocks import SystemClock
from flow_core.errors import FlowError
from flow_providers.local_docker.address import parse_address
from flow_providers.local_docker.engine import Engine
from tests.local_docker.engine import BARE_IMAGE, engine_folder, refuse, unmounted, with_images
from tests.local_docker.user import HANGS_S, User

pytestmark = [pytest.mark.docker, pytest.mark.slow]


#: Who may run Podman without being root: a user with ids of its own to give to containers (`useradd` sees to that).
ROOTLESS = "flow-rootless"


@pytest.fixture(params=["root's", "anybody's"])
def podman(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a Podman service that has the bare image: one that root runs, and one of a user's own."""
    if shutil.which("podman") is None or os.geteuid() != 0:
        refuse("needs root and Debian's podman, with catatonit and containernetworking-plugins")
    with ExitStack() as stack:
        folder = stack.enter_context(engine_folder())
        runtime = folder
        started: dict[str, Any] = {}
        if request.param != "root's":
            about = _rootless()
            started = {"user": about.pw_uid, "group": about.pw_gid, "extra_groups": []}
            os.chown(folder, about.pw_uid, about.pw_gid)
            runtime = stack.enter_context(_runtime_folder(about))
        # It gives containers higher limits than may be had where the machine itself is in a container.
        limits = '"nofile=10000:10000", "nproc=10000:10000"'
        settings = folder / "containers.conf"
        settings.write_text(f"[containers]\ndefault_ulimits = [{limits}]\n")
        places = {"HOME": str(folder), "XDG_RUNTIME_DIR": str(runtime)} if started else {}
        env = {**os.environ, "CONTAINERS_CONF": str(settings), **places}
        command = ["podman", "--root", str(folder / "root"), "--runroot", str(folder / "run")]
        host = f"unix://{runtime}/flow-test.sock"
        served = [*command, "system", "service", "--time=0", host]
        with (folder / "log").open("wb") as log:
            service = subprocess.Popen(
                served, env=env, cwd=folder, stdout=log, stderr=log, **started
            )
        try:
            _until_it_answers(Engine(parse_address(host)))
            with_images(host, only=BARE_IMAGE)
            yield host
        finally:
            # The second ends what keeps a user's namespace.
            for words in (("rm", "--all", "--force", "--time", "0"), ("system", "migrate")):
                away = [*command, *words]
                subprocess.run(
                    away,
                    env=env,
                    cwd=folder,
                    check=False,
                    capture_output=True,
                    timeout=HANGS_S,
                    **started,
                )
            service.terminate()
            service.wait(HANGS_S)
            _end_all_of(folder)
            unmounted(folder)


def _end_all_of(folder: Path) -> None:
    """End what still runs for a service whose files are here: its half in a namespace, and keepers of what was run."""
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            with suppress(OSError):
                if os.fsencode(f"{folder}/") in (process / "cmdline").read_bytes():
                    os.kill(int(process.name), signal.SIGKILL)


def _rootless() -> pwd.struct_passwd:
    """Who runs Podman without being root; skip where nobody can, which depends on more than packages."""
    try:
        about = pwd.getpwnam(ROOTLESS)
    except KeyError:
        pytest.skip(f"there is no user {ROOTLESS} here, as `useradd -m {ROOTLESS}` makes")
    lacking = [each for each in ("newuidmap", "slirp4netns") if shutil.which(each) is None]
    if lacking:
        pytest.skip(f"rootless Podman needs {lacking[0]}")
    tunnels = Path("/dev/net/tun")
    if not tunnels.exists() or tunnels.stat().st_mode & 0o666 != 0o666:
        pytest.skip("not everybody may use /dev/net/tun here, which rootless networks need")
    return about


@contextmanager
def _runtime_folder(about: pwd.struct_passwd) -> Iterator[Path]:
    """Yield the folder that a login would have made; Podman's networks want it below /run."""
    folder = Path("/run/user") / str(about.pw_uid)
    was_there = folder.is_dir()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.chown(folder, about.pw_uid, about.pw_gid)
    try:
        yield folder
    finally:
        if not was_there:
            unmounted(folder)
            shutil.rmtree(folder, ignore_errors=True)


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
