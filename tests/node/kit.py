"""What tests of real nodes share: signals to wait for instead of time, and the pythons that nodes may have."""

from __future__ import annotations

import fcntl
import os
import select
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

#: Real seconds after which a test gives up on a process of its own; far more than any needs.
PATIENCE_S = 20


class Bell:
    """A named pipe that a command rings by `echo > PATH`, so that a test waits for what happened."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)
        self._pipe = os.open(path, os.O_RDWR | os.O_NONBLOCK)

    @property
    def ring(self) -> str:
        """The shell words that ring it."""
        return f"echo >'{self.path}'"

    def wait(self, times: int = 1) -> None:
        """Return once it was rung that often."""
        while times > 0:
            assert select.select([self._pipe], [], [], PATIENCE_S)[0], "nobody rang"
            times -= len(os.read(self._pipe, times))

    def close(self) -> None:
        """Let go of the pipe."""
        os.close(self._pipe)


def wait_for_lock(lock: Path) -> None:
    """Return once whoever holds `lock` is gone."""
    hold = f"import fcntl; fcntl.flock(open({str(lock)!r}), fcntl.LOCK_SH)"
    subprocess.run([sys.executable, "-I", "-S", "-c", hold], timeout=PATIENCE_S, check=True)


def wait_for_bytes(file: Path, size: int = 0) -> None:
    """Return once `file` exists and holds more than `size` bytes."""
    _watch("os.path.exists(path) and os.path.getsize(path) > number", file, size)


def wait_for_word(file: Path, word: str) -> None:
    """Return once `file` exists and holds `word`."""
    _watch(f"os.path.exists(path) and {word!r} in open(path).read()", file, 0)


def wait_for_holder(lock: Path) -> None:
    """Return once somebody holds `lock`."""
    _watch("os.path.exists(path) and held(path)", lock, 0)


def wait_for_no_process(word: str) -> None:
    """Return once no process was started with `word` among its arguments, but for those that wait for that."""
    _watch("not any(path in each for each in others())", Path(word), 0)


def _watch(claim: str, path: Path, number: int) -> None:
    """Wait for a process that ends when a claim about a file is true: what it waits for has no event of its own."""
    program = f"""
import fcntl, glob, os, select, sys
path, number = sys.argv[1], int(sys.argv[2])
def others():
    for each in glob.glob('/proc/[0-9]*/cmdline'):
        if each == '/proc/%d/cmdline' % os.getpid(): continue
        try:
            with open(each, 'rb') as file: yield os.fsdecode(file.read()).split('\\0')
        except OSError: continue
def held(path):
    with open(path) as file:
        try: fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError: return True
while not ({claim}): select.select([], [], [], 0.01)
"""
    watching = [sys.executable, "-I", "-S", "-c", program, path, str(number)]
    subprocess.run(watching, timeout=3 * PATIENCE_S, check=True)


def is_held(lock: Path) -> bool:
    """Whether somebody holds `lock`."""
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def is_alive(pid: int) -> bool:
    """Whether a process still runs; one that only waits to be buried does not."""
    asked = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return asked.stdout.strip()[:1] not in ("", "Z")


@cache
def pythons() -> list[str]:
    """This interpreter, and the oldest that a node may have, where the machine has one."""
    roots = [Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))]
    old = [shutil.which("python3.8")]
    old += [str(found) for root in roots for found in root.glob("versions/3.8.*/bin/python3.8")]
    return [sys.executable, *[each for each in old if each and answers(each)][:1]]


def answers(python: str) -> bool:
    """Whether an interpreter runs at all; a version manager's stand-in may not."""
    tried = subprocess.run([python, "-c", "import ssl"], capture_output=True, check=False)
    return tried.returncode == 0
