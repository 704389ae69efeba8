"""Starts processes for a node's first process, and learns how each ended; strangers that it adopts are buried too."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from attrs import field, frozen

Program = Callable[[], int]
_MOST_FILES = 4096


@frozen(kw_only=True)
class Start:
    """What to start: `command`, or `program` in a process that is only forked. `fds` become 0, 1 and 2.

    `user` holds a user id, a group id and the further groups; None leaves them as they are. `terminal` says that fd 0
    is one, and becomes the process's own.
    """

    command: Sequence[str] = ()
    name: str | None = None
    program: Program | None = None
    env: Mapping[str, str] = field(factory=dict, hash=False)
    folder: str = "/"
    user: tuple[int, int, tuple[int, ...]] | None = None
    fds: tuple[int, int, int]
    terminal: bool = False
    mask: int = 0o022


@frozen(eq=False)
class Child:
    """A started process; `ended` holds its wait status once it is over."""

    pid: int
    ended: asyncio.Future[int]


class Children:
    """All processes that were started here and live."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._ended: dict[int, asyncio.Future[int]] = {}
        loop.add_signal_handler(signal.SIGCHLD, self._bury)

    def start(self, what: Start) -> Child:
        """Start a process in a session of its own.

        Raises:
            OSError: it can't be started; the message is the system's.
        """
        told, tell = os.pipe()
        pid = os.fork()
        if pid == 0:
            _become(what, tell)
        os.close(tell)
        with os.fdopen(told, "rb") as answer:
            trouble = answer.read()
        if trouble:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
            number = struct.unpack("<i", trouble[:4])[0]
            raise OSError(number, os.strerror(number), what.command[0] if what.command else None)
        ended: asyncio.Future[int] = self._loop.create_future()
        self._ended[pid] = ended
        # It may have ended before it was known here.
        self._loop.call_soon(self._bury)
        return Child(pid, ended)

    def _bury(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            ended = self._ended.pop(pid, None)
            if ended is not None and not ended.done():
                ended.set_result(status)


def exit_code(status: int) -> int:
    """Return a wait status as a shell would: 128+n for signal n."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def marked(mark: bytes) -> list[int]:
    """Return the processes that have a variable, written `NAME=value`, in what they were started with."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if mark in Path(entry.path, "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
    return found


def descendants(ancestor: int) -> list[int]:
    """Return every process that came of one, nearest first."""
    parents: dict[int, int] = {}
    if not Path("/proc/self/stat").exists():
        return []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                stat = Path(entry.path, "stat").read_text(errors="replace")
                parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    found = [ancestor]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found[1:]


def tell(pid: int, number: int) -> bool:
    """Signal a process; return whether it was there."""
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _become(what: Start, tell: int) -> None:
    try:
        signal.set_wakeup_fd(-1)
        for number in range(1, signal.NSIG):
            with contextlib.suppress(OSError, ValueError):
                signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        os.setsid()
        fds = [os.dup(each) for each in what.fds]
        for place, each in enumerate(fds):
            os.dup2(each, place)
        if what.terminal:
            import fcntl
            import termios

            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        if what.user is not None:
            uid, gid, groups = what.user
            if os.geteuid() == 0 and uid != os.geteuid():
                os.setgroups(groups)
                os.setresgid(gid, gid, gid)
                os.setresuid(uid, uid, uid)
        os.umask(what.mask)
        try:
            os.chdir(what.folder)
        except OSError:
            os.chdir("/")
        if what.program is not None:
            os.close(tell)
            os.closerange(3, _MOST_FILES)
            os._exit(what.program())
        command = list(what.command)
        os.execvpe(command[0], [what.name or command[0], *command[1:]], dict(what.env))
    except OSError as exc:
        os.write(tell, struct.pack("<i", exc.errno or 1))
    finally:
        os._exit(127)
