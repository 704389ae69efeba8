"""Engines besides root's Docker: Docker without root, and Podman's service, which speaks with an accent; real ones."""

from __future__ import annotations

import fcntl
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
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


#: Who may run an engine without being root: a user with ids of its own to give to containers (`useradd` sees to that).
ROOTLESS = "flow-rootless"
#: Starts Docker for a user who isn't root. Source: Debian's docker.io.
DOCKER_WITHOUT_ROOT = Path("/usr/share/docker.io/contrib/dockerd-rootless.sh")


@pytest.fixture(params=["root's Podman", "anybody's Podman", "anybody's Docker"])
def host(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of an engine that has the bare image."""
    if os.geteuid() != 0:
        refuse("only root can become the users that run engines")
    with ExitStack() as stack:
        folder = runtime = stack.enter_context(engine_folder())
        user: dict[str, Any] = {}
        env = dict(os.environ)
        if request.param != "root's Podman":
            about = _rootless()
            stack.enter_context(_alone())
            user = {"user": about.pw_uid, "group": about.pw_gid, "extra_groups": []}
            os.chown(folder, about.pw_uid, about.pw_gid)
            runtime = stack.enter_context(_runtime_folder(about))
            env |= {"HOME": str(folder), "XDG_RUNTIME_DIR": str(runtime)}
        address = f"unix://{runtime}/flow-test.sock"
        serving = _docker if request.param == "anybody's Docker" else _podman
        with serving(folder, address, env, user):
            _until_it_answers(Engine(parse_address(address)))
            with_images(address, only=BARE_IMAGE)
            yield address


@contextmanager
def _podman(
    folder: Path, address: str, env: Mapping[str, str], user: Mapping[str, Any]
) -> Iterator[None]:
    if shutil.which("podman") is None:
        refuse("needs Debian's podman, with catatonit and containernetworking-plugins")
    # It gives containers higher limits than may be had where the machine itself is in a container.
    limits = '"nofile=10000:10000", "nproc=10000:10000"'
    settings = folder / "containers.conf"
    settings.write_text(f"[containers]\ndefault_ulimits = [{limits}]\n")
    env = {**env, "CONTAINERS_CONF": str(settings)}
    command = ["podman", "--root", str(folder / "root"), "--runroot", str(folder / "run")]
    with _served([*command, "system", "service", "--time=0", address], folder, env, user):
        try:
            yield
        finally:
            # The second ends what keeps a user's namespace.
            for words in (("rm", "--all", "--force", "--time", "0"), ("system", "migrate")):
                subprocess.run(
                    [*command, *words],
                    env=env, cwd=folder, check=False, capture_output=True, timeout=HANGS_S, **user,
                )  # fmt: skip


@contextmanager
def _docker(
    folder: Path, address: str, env: Mapping[str, str], user: Mapping[str, Any]
) -> Iterator[None]:
    if not DOCKER_WITHOUT_ROOT.exists() or shutil.which("rootlesskit") is None:
        refuse("needs Debian's docker.io and rootlesskit")
    sbin = f"{env['PATH']}:/usr/sbin:/sbin"
    words = [
        str(DOCKER_WITHOUT_ROOT), "--host", address, "--data-root", str(folder / "root"),
        "--exec-root", str(folder / "run"), "--pidfile", str(folder / "pid"),
    ]  # fmt: skip
    with _served(words, folder, {**env, "PATH": sbin}, user):
        yield


@contextmanager
def _served(
    words: Sequence[str], folder: Path, env: Mapping[str, str], user: Mapping[str, Any]
) -> Iterator[None]:
    with (folder / "log").open("wb") as log:
        service = subprocess.Popen(words, env=env, cwd=folder, stdout=log, stderr=log, **user)
    try:
        yield
    finally:
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
    """Who runs engines without being root; skip where nobody can, which depends on more than packages."""
    try:
        about = pwd.getpwnam(ROOTLESS)
    except KeyError:
        pytest.skip(f"there is no user {ROOTLESS} here, as `useradd -m {ROOTLESS}` makes")
    lacking = [each for each in ("newuidmap", "slirp4netns") if shutil.which(each) is None]
    if lacking:
        pytest.skip(f"an engine without root needs {lacking[0]}")
    tunnels = Path("/dev/net/tun")
    if not tunnels.exists() or tunnels.stat().st_mode & 0o666 != 0o666:
        pytest.skip("not everybody may use /dev/net/tun here, which rootless networks need")
    return about


@contextmanager
def _alone() -> Iterator[None]:
    """While entered, no other test is that user, who has one folder for what runs, and one set of ids."""
    with Path(tempfile.gettempdir(), f"{ROOTLESS}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


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


def test_tasks_and_a_dev_box_run_there(tmp_path: Path, host: str):
    """Two nodes have code, ranks and each other; a task is entered, and cancelled; a box stays; nothing is left.

    A limit that isn't enforced is refused.
    """
    user = User(tmp_path, host, BARE_IMAGE)
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
    about = Engine(parse_address(host)).ask("GET", "/info")
    enforces = about["CgroupVersion"] == "2" or "rootless" not in str(about["SecurityOptions"])
    small = user.run("submit", "true", "-i", "cpu", "--option", "memory=64m", "--yes", "-d")

    assert 1 == both.returncode
    for rank in (0, 1):
        assert f"[{rank}] from my folder\n" in both.stdout
        assert f"[{rank}] {rank} of 2\n" in both.stdout
    assert (3, "from my folder\n") == (entered.returncode, entered.stdout)
    assert "from my folder\n/workspace\n" == first.stdout
    assert (4, "changed\n") == (second.returncode, second.stdout)
    assert enforces is (small.returncode == 0), small.stderr
    assert enforces or "holds no container to its memory" in small.stderr
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
    refuse("the engine doesn't answer")
