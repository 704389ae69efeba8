"""A real Docker engine for tests: the one that runs for them already, or one of their own.

`FLOW_TEST_DOCKER_HOST` names one that may be used. Otherwise `dockerd` is started, as root, with its data in a folder
of its own and a socket nobody else has; it ends with the test session. Where neither can be, tests are skipped, and
with `CI=true` they fail. No registry is asked for images: they are made from Debian's packages, once, and kept in
`FLOW_TEST_CACHE` (else the user's cache folder).
"""

from __future__ import annotations

import fcntl
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from flow_adapters.clocks import SystemClock
from flow_core.errors import FlowError
from flow_providers.local_docker.address import parse_address
from flow_providers.local_docker.engine import Engine

#: Debian with Python 3, and nothing but a busybox.
PYTHON_IMAGE, BARE_IMAGE = "flow-test-python", "flow-test-bare"
_STARTS_S = 60.0
_LEAN = [f"path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "locale")]
_APPLETS = [
    "cat",
    "echo",
    "env",
    "find",
    "grep",
    "hostname",
    "id",
    "kill",
    "ls",
    "mkdir",
    "mv",
    "ps",
    "pwd",
]
_APPLETS += ["readlink", "rm", "sh", "sleep", "sort", "stty", "test", "touch", "tr", "true"]


@contextmanager
def running_engine() -> Iterator[str]:
    """Yield the address of an engine that answers; skip, or fail on CI, where there can be none."""
    named = os.environ.get("FLOW_TEST_DOCKER_HOST")
    if named:
        yield named
        return
    lack = _lack()
    if lack:
        refuse(lack)
    with engine_folder() as folder, started_engine(folder) as host:
        yield host


@contextmanager
def engine_folder() -> Iterator[Path]:
    """Yield a folder for an engine's files; a socket's whole path may have no more than 107 bytes, so it is short."""
    with tempfile.TemporaryDirectory(prefix="flow-engine-", dir="/tmp") as folder:
        yield Path(folder)


def refuse(why: str) -> None:
    """Skip for want of something; on CI, where all must be there, fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(why)
    pytest.skip(why)


@contextmanager
def _in_turn() -> Iterator[None]:
    """While entered, no other engine starts here: two at once take each other's bridge and chains."""
    with Path(tempfile.gettempdir(), "flow-engine.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def started_engine(folder: Path, *more: str) -> Iterator[str]:
    """Start an engine with all its files in `folder`, and yield its address; `more` are words for `dockerd`."""
    host = f"unix://{folder}/docker.sock"
    command = [
        "dockerd",
        *("--host", host),
        *("--data-root", str(folder / "data")),
        *("--exec-root", str(folder / "exec")),
        *("--pidfile", str(folder / "pid")),
        *("--log-level", "warn"),
        *more,
    ]
    turn = ExitStack()
    turn.enter_context(_in_turn())
    with (folder / "log").open("ab") as log:
        daemon = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        with turn:
            _until_it_answers(Engine(parse_address(host)), daemon, folder / "log")
        yield host
    finally:
        daemon.terminate()
        daemon.wait(60)
        unmounted(folder)


def require_own_engine() -> None:
    """Skip, or fail on CI, where a test can't start an engine of its own."""
    if lack := _lack():
        refuse(lack)


def unmounted(folder: Path) -> None:
    """Unmount what an engine left mounted below its folder."""
    lines = Path("/proc/self/mounts").read_text("utf-8").splitlines()
    for place in sorted((line.split()[1] for line in lines), key=len, reverse=True):
        if place.startswith(f"{folder}/"):
            subprocess.run(["umount", "-l", place], check=False, capture_output=True)


def with_images(host: str, *, only: str = "") -> None:
    """Make sure that the engine has both test images, or the one that is named."""
    engine = Engine(parse_address(host))
    for name, make in ((PYTHON_IMAGE, _debian), (BARE_IMAGE, _busybox)):
        if only not in ("", name):
            continue
        try:
            engine.ask("GET", f"/images/{name}/json")
        except FlowError:
            archive = _cached(name, make)
            query = {"fromSrc": "-", "repo": name, "tag": "latest"}
            engine.ask("POST", "/images/create", query=query, data=archive.read_bytes())


def _until_it_answers(engine: Engine, daemon: subprocess.Popen[bytes], log: Path) -> None:
    clock, tries = SystemClock(), int(_STARTS_S / 0.2)
    for _ in range(tries):
        try:
            engine.ask("GET", "/_ping")
            return
        except FlowError:
            if daemon.poll() is not None:
                break
            clock.sleep(0.2)
    said = log.read_text("utf-8", "replace").splitlines()[-5:]
    refuse("no Docker engine starts here: " + " / ".join(said))


def _lack() -> str:
    if shutil.which("dockerd") is None:
        return "there is no dockerd here (Debian's package is docker.io)"
    if os.geteuid() != 0:
        return (
            "only root can start an engine of the tests' own; FLOW_TEST_DOCKER_HOST names another"
        )
    return ""


def _cached(name: str, make: object) -> Path:
    root = os.environ.get("FLOW_TEST_CACHE") or Path.home() / ".cache" / "flow-tests"
    place = Path(root) / f"{name}-1.tar"
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        new = place.with_suffix(f".{os.getpid()}")
        make(new)  # type: ignore[operator]
        new.replace(place)
    return place


def _debian(place: Path) -> None:
    """Make a Debian with Python from where apt gets its packages on this machine."""
    if shutil.which("mmdebstrap") is None:
        refuse("there is no mmdebstrap here, which makes the tests' image")
    folder = Path("/etc/apt/sources.list.d")
    sources = [*folder.glob("*debian*.sources"), *folder.glob("*debian*.list")]
    sources = sources or [Path("/etc/apt/sources.list")]
    options = [f"--dpkgopt={each}" for each in _LEAN]
    command = ["mmdebstrap", "--variant=minbase", "--include=python3", "--format=tar", *options]
    subprocess.run([*command, "", str(place), *map(str, sources)], check=True, capture_output=True)


def _busybox(place: Path) -> None:
    """Make an image of one static program, with no Python and no C library in it."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["apt-get", "download", "-o", "APT::Sandbox::User=root", "busybox-static"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        [package] = Path(folder).glob("*.deb")
        subprocess.run(["dpkg-deb", "-x", package, folder], check=True)
        program = next(path for path in Path(folder).rglob("bin/busybox") if path.is_file())
        with tarfile.open(place, "w") as tar:
            tar.add(program, "bin/busybox")
            for name in _APPLETS:
                _link(tar, f"bin/{name}", "/bin/busybox")
            _link(tar, "usr/bin/env", "/bin/busybox")
            for name in ("tmp", "root", "etc", "proc", "dev", "sys"):
                member = tarfile.TarInfo(name)
                member.type, member.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
                tar.addfile(member)
            users = b"root:x:0:0:root:/root:/bin/sh\n"
            member = tarfile.TarInfo("etc/passwd")
            member.size = len(users)
            tar.addfile(member, io.BytesIO(users))


def _link(tar: tarfile.TarFile, name: str, target: str) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, target
    tar.addfile(member)
