"""The first process of a pretended node: starts the node script, and ends everything that came of it.

It is to its node what process 1 is to a machine: it adopts whoever lost a parent (where the system allows), stays until
the last of them is gone, and on TERM ends them all: the node script first, which gives its command its grace, then
whoever is left. USR1 is a power cut: all at once. A node whose disk was dropped has its home removed at the end.

Which of several such processes may live is told by two things. `power.json` holds what the cloud wants ("on", "off",
"lost", "gone") and a number that grows with each "on"; `init.lock` is held by the one that lives. One that gets the
lock for a number that is no longer wanted goes away again; one that meets its own number at the lock is not needed.
Whoever wants a node off writes that first and then looks for `init.pid`; a new one writes `init.pid` first and then
reads what is wanted. So one of the two sees the other, whatever happens between.

Runs as a program of its own, with the standard library only: `node_init.py FOLDER NUMBER`. POSIX only.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import json
import os
import select
import shutil
import signal
import struct
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
#: Seconds that leftovers have between TERM and KILL, and that the node script has beyond its command's grace.
_LEFTOVER_S = 2.0
#: A signal wakes a wait; this is for one that got lost.
_WAKE_S = 5.0


def main() -> int:
    """Play the first process of the node in the folder given."""
    folder, number = Path(sys.argv[1]), int(sys.argv[2])
    with contextlib.suppress(OSError):
        os.setsid()
    lock = _lock(folder, number)
    if lock is None:
        return 0
    wake = _watch_signals()
    _write(folder / "init.pid", {"pid": os.getpid(), "number": number})
    if _wanted(folder) == ("on", number):
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
        _Node(folder, wake).live()
        if _wanted(folder) != ("on", number):
            end_strangers(folder)
    (folder / "init.pid").unlink(missing_ok=True)
    if _wanted(folder)[0] == "gone":
        drop_disk(folder)
    return 0


def drop_disk(folder: Path) -> None:
    """Remove what a node's disk held; its log and state stay."""
    for name in ("home", "tmp", "bin", "view"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in ("flow/delivery.json", "flow/env.json", "flow/task.json", "startup"):
        (folder / name).unlink(missing_ok=True)


def end_strangers(folder: Path) -> None:
    """End what shells left on the node: not born of its first process, but in its environment."""
    mark = f"FLOW_HOME={folder / 'flow'}".encode()
    for pid in _parents() if Path("/proc/self/environ").exists() else ():
        with contextlib.suppress(OSError):
            if pid != os.getpid() and mark in Path(f"/proc/{pid}/environ").read_bytes().split(
                b"\0"
            ):
                os.kill(pid, signal.SIGKILL)


class _Node:
    """The processes of a node, from the first to the last."""

    def __init__(self, folder: Path, wake: int) -> None:
        self._folder = folder
        self._wake = wake
        self._plan: dict[str, Any] = json.loads((folder / "node.json").read_text())

    def live(self) -> None:
        script = self._start()
        status: int | None = None
        stopped_at: float | None = None
        kill_at: float | None = None
        while True:
            told = self._told(_WAKE_S if stopped_at is None else 0.1)
            for pid, ended in _reaped():
                status = ended if pid == script else status
            if signal.SIGUSR1 in told or (
                status is not None and os.WIFSIGNALED(status) and stopped_at is None
            ):
                _end_all(signal.SIGKILL)
                stopped_at = kill_at = 0.0
            elif signal.SIGTERM in told and stopped_at is None:
                stopped_at = time.monotonic()
                if status is None:
                    os.kill(script, signal.SIGTERM)
            if not _has_children():
                return
            if stopped_at is None:
                continue
            if kill_at is None and (status is not None or self._is_late(stopped_at)):
                _end_all(signal.SIGTERM)
                kill_at = time.monotonic() + _LEFTOVER_S
            if kill_at is not None and time.monotonic() >= kill_at:
                _end_all(signal.SIGKILL)

    def _is_late(self, stopped_at: float) -> bool:
        return (
            time.monotonic() - stopped_at > float(self._plan["env"]["FLOW_GRACE_S"]) + _LEFTOVER_S
        )

    def _told(self, seconds: float) -> bytes:
        if not select.select([self._wake], [], [], seconds)[0]:
            return b""
        return os.read(self._wake, 4096)

    def _start(self) -> int:
        pid = os.fork()
        if pid:
            return pid
        try:
            self._become_script()
        except OSError as exc:
            self._tell_refusal(exc.strerror or str(exc))
        os._exit(125)

    def _become_script(self) -> None:
        os.setpgid(0, 0)
        os.chdir(self._folder / "home")
        if self._plan["binds"]:
            namespaces = _sibling("namespaces")
            binds = [namespaces.Bind(*each) for each in self._plan["binds"]]
            namespaces.enter(binds, staging=str(self._folder / "view"))
        _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGPIPE, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        command: list[str] = self._plan["command"]
        os.execvpe(command[0], command, self._plan["env"])

    def _tell_refusal(self, reason: str) -> None:
        """Speak for a node script that can't be started."""
        line = f"flow: the node could not start: {reason}\n".encode()
        (self._folder / "flow").mkdir(exist_ok=True)
        (self._folder / "flow" / "log").write_bytes(line)
        now = time.time()  # noqa: TID251
        (self._folder / "flow" / "log.index").write_bytes(
            struct.pack("<QIId", 0, len(line), 2, now)
        )
        _write(
            self._folder / "flow" / "state.json",
            {"phase": "exited", "exit_code": 125, "ended_at": now},
        )


def _lock(folder: Path, number: int) -> int | None:
    import fcntl

    lock = os.open(folder / "init.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            # It lives already, or an older one is on its way out, or somebody only looks whether it lives.
            if _read(folder / "init.pid").get("number") == number or _wanted(folder) != (
                "on",
                number,
            ):
                return None
            time.sleep(0.02)  # noqa: TID251
        else:
            return lock


def _wanted(folder: Path) -> tuple[str, int]:
    power = _read(folder / "power.json")
    return power.get("is", "off"), power.get("number", 0)


def _read(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return found


def _write(path: Path, value: object) -> None:
    new = path.with_name(f"{path.name}.{os.getpid()}")
    new.write_text(json.dumps(value))
    new.replace(path)


def _watch_signals() -> int:
    wake, told = os.pipe()
    for end in (wake, told):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    return wake


def _reaped() -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            found.append((pid, status))
    return found


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _end_all(number: int) -> None:
    """Signal every descendant, children of the adopted included."""
    for pid in _descendants(os.getpid()):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _descendants(ancestor: int) -> list[int]:
    parents = _parents()
    found = [ancestor]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found[1:]


def _parents() -> dict[int, int]:
    found: dict[int, int] = {}
    if Path("/proc/self/stat").exists():
        for entry in os.scandir("/proc"):
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    stat = Path(entry.path, "stat").read_text(errors="replace")
                    found[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
        return found
    import subprocess

    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=False
    )
    for line in listed.stdout.splitlines():
        pid, parent = line.split()
        found[int(pid)] = int(parent)
    return found


def _prctl(option: int, value: int) -> None:
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(option, ctypes.c_ulong(value), 0, 0, 0)


def _sibling(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    sys.exit(main())
