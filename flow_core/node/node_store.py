"""What the node helper keeps in files: its state as JSON, the log with its index, and the lock of who runs.

Joined with `flow_node.py` into one program on its way to the node.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import select
import signal
import struct
import time

TYPE_CHECKING = False  # `typing` is slow to load
if TYPE_CHECKING:
    from typing import Any

HOME = os.environ.get("FLOW_HOME", "/opt/flow")
STREAMS = ("out", "err", "note")
ENTRY = struct.Struct("<QIId")
MERGE_S = 1  # what one stream writes within this from its first byte on is one stretch, so that the index stays small


class Log:
    """The log and its index, written at known places so that a full disk or a crash leaves them consistent."""

    def __init__(self) -> None:
        self.file, self.index = opened("log"), opened("log.index")
        self.count = os.fstat(self.index).st_size // ENTRY.size
        self.last = entry(self.index, self.count - 1) if self.count else (0, 0, None, 0)
        self.size = self.last[0] + self.last[1]

    def add(self, stream: int, data: bytes) -> None:
        """Append bytes of one stream; a full disk costs log, never the command."""
        while data:
            now = time.time()
            begin, length, kind, at = self.last
            try:
                written = os.pwrite(self.file, data, self.size)
                merged, place = (self.size, written, stream, now), self.count
                if kind == stream and 0 <= now - at < MERGE_S:
                    merged, place = (begin, length + written, kind, at), place - 1
                os.pwrite(self.index, ENTRY.pack(*merged), place * ENTRY.size)
            except OSError:
                return
            self.last = merged
            self.count = place + 1
            self.size += written
            data = data[written:]

    def note(self, text: str) -> None:
        """Append a line of our own."""
        self.add(2, ("flow: %s\n" % text).encode("utf-8", "replace"))


def hold_lock() -> int | None:
    """Return the held lock, or None where another process keeps it; a mere look at it is waited out."""
    lock = opened("lock")
    for _ in range(5):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            time.sleep(0.02)
        else:
            os.pwrite(lock, b"%-20d" % os.getpid(), 0)
            return lock
    return None


def kick(number: int) -> bool:
    """Signal the living `run`; return whether there is one."""
    lock = opened("lock")
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        os.kill(int(os.pread(lock, 20, 0) or os.getpid()), number)
        return True
    os.close(lock)
    return False


def watch_signals() -> int:
    """Return a descriptor that turns readable, with the signals' numbers, when one has come."""
    wake, told = os.pipe()
    os.set_blocking(told, False)
    signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    return wake


def told_to_stop(wake: int, seconds: float) -> bool:
    """Wait for a signal; return whether it says that the node stops."""
    return bool(select.select([wake], [], [], seconds)[0]) and signal.SIGTERM in os.read(wake, 4096)


def unpack_code(workspace: str) -> None:
    """Put files that rode in the script where the command begins, once: what it made of them survives a reboot."""
    tar = path("code.tar")
    if os.path.exists(tar):
        if os.spawnlp(os.P_WAIT, "tar", "tar", "-xf", tar, "-C", workspace):
            raise OSError(5, "can't be unpacked", tar)
        os.rename(tar, path("code.had"))


def entry(index: int, number: int) -> Any:
    """Return one entry of the index: offset, length, stream, time."""
    return ENTRY.unpack(os.pread(index, ENTRY.size, number * ENTRY.size))


def opened(name: str) -> int:
    """Open a file of ours, made if need be."""
    return os.open(path(name), os.O_RDWR | os.O_CREAT, 0o600)


def path(name: str) -> str:
    """Return where a file of ours lies."""
    return os.path.join(HOME, name)


def is_there(name: str) -> bool:
    """Whether a file of ours exists."""
    return os.path.exists(path(name))


def load(name: str) -> Any:
    """Return what a file of ours holds, {} where there is none."""
    try:
        with open(path(name)) as file:
            return json.load(file)
    except FileNotFoundError:
        return {}


def save(name: str, value: Any) -> None:
    """Replace a file of ours as a whole; a full disk is waited out, for what was not written is not known."""
    while True:
        try:
            return write(path(name), json.dumps(value).encode())
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            time.sleep(1)


def write(name: str, data: bytes) -> None:
    """Replace a file as a whole, for its owner's eyes only."""
    new = "%s.%d" % (name, os.getpid())
    with open(os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.rename(new, name)
