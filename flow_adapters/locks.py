"""Locks that end with their process, however it ends: a file that is held, not one that merely exists.

POSIX uses flock, Windows a locked byte. Neither waits. On POSIX a lock's file is removed when it is given up, so
whoever locks one checks that it still is the file of that name. Looking whether a lock is held takes it, shared, for a
moment; that is told apart from its being held.

A process made by `fork` without `exec` shares its parent's locks; one made by `subprocess` does not.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from flow_adapters.clocks import SystemClock
from flow_core.errors import Misconfigured, NoRoom
from flow_core.ports.clock import Clock

#: How often to try again while others merely look; each look lasts microseconds.
_TRIES = 100_000
#: How long a patient one rests between two tries.
_GLANCE_S = 0.02


class FileLock:
    """A lock named by a file; the folder is made when needed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    @property
    def is_mine(self) -> bool:
        """Whether this object holds it."""
        return self._descriptor is not None

    def take(self) -> bool:
        """Hold the lock unless someone else does, and return whether this object holds it now.

        Raises:
            Misconfigured: the file can't be made or opened; the message names it.
            NoRoom: the disk is full.
        """
        while self._descriptor is None:
            descriptor = _opened(self.path)
            if not _is_locked_by(descriptor):
                os.close(descriptor)
                return False
            if _is_still(self.path, descriptor):
                self._descriptor = descriptor
            else:
                os.close(descriptor)
        return True

    def give_up(self) -> None:
        """Let others have it; nothing happens when this object doesn't hold it."""
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        if sys.platform != "win32":
            self.path.unlink(missing_ok=True)
        os.close(descriptor)


@contextmanager
def hold(path: Path, *, patience_s: float = 0.0, clock: Clock | None = None) -> Iterator[bool]:
    """While entered with True, the lock is this block's alone; with False, someone else has it.

    Tries for `patience_s` seconds before it says False.

    Raises:
        Misconfigured, NoRoom: as `FileLock.take` does.
    """
    lock = FileLock(path)
    try:
        yield _taken(lock, patience_s, clock or SystemClock())
    finally:
        lock.give_up()


def is_held(path: Path) -> bool:
    """Whether someone holds the lock; never mistaken for a holder by those who take it."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        return not _is_shared_by(descriptor)
    finally:
        os.close(descriptor)


def _taken(lock: FileLock, patience_s: float, clock: Clock) -> bool:
    until = clock.now() + timedelta(seconds=patience_s)
    while not lock.take():
        if clock.now() >= until:
            return False
        clock.sleep(_GLANCE_S)
    return True


def _opened(path: Path) -> int:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoRoom(
                f"{path} can't be made: {error.strerror}", hint="make room and repeat"
            ) from error
        raise Misconfigured(
            f"{path} can't be opened: {error.strerror}",
            hint="give yourself the right to write there, or set FLOW_STATE_DIR to a folder where you have it",
        ) from error


def _is_still(path: Path, descriptor: int) -> bool:
    if sys.platform == "win32":
        return True
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(there, os.fstat(descriptor))


if sys.platform == "win32":

    def _is_locked_by(descriptor: int) -> bool:
        import msvcrt

        os.lseek(descriptor, 0, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    _is_shared_by = _is_locked_by

else:

    def _is_locked_by(descriptor: int) -> bool:
        import fcntl

        for _ in range(_TRIES):
            if _flocked(descriptor, fcntl.LOCK_EX):
                return True
            if not _is_shared_by(descriptor):
                return False
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        return False

    def _is_shared_by(descriptor: int) -> bool:
        import fcntl

        return _flocked(descriptor, fcntl.LOCK_SH)

    def _flocked(descriptor: int, how: int) -> bool:
        import fcntl

        try:
            fcntl.flock(descriptor, how | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
