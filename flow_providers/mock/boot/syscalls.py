"""The kernel's calls that a booting node needs and Python has no words for.

Linux only; importing it is harmless anywhere.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

NEW_MOUNTS, NEW_HOSTNAME, NEW_IPC = 0x20000, 0x4000000, 0x8000000
NEW_USERS, NEW_PIDS = 0x10000000, 0x20000000

READ_ONLY, NO_SUID, NO_DEV, NO_EXEC = 1, 2, 4, 8
REMOUNT, BIND, RECURSIVE, PRIVATE = 32, 4096, 16384, 1 << 18
_DETACH = 2

_SET_PARENT_DEATH_SIGNAL, _DROP_BOUND_CAPABILITY, _SET_CHILD_SUBREAPER = 1, 24, 36
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
#: What no node's root may do to the machine that all share: modules, raw ports, routes and firewalls, clock, reboot,
#: mandatory access rules, the kernel's log. Source: linux/capability.h.
_WITHHELD = (12, 16, 17, 22, 25, 32, 33, 34)


def unshare(flags: int) -> None:
    """Give this process namespaces of its own; raises OSError where the system refuses."""
    if _libc().unshare(flags) != 0:
        raise _error("this system refuses the namespaces of a node")


def become_root_of_users() -> None:
    """In a fresh user namespace, be its root."""
    uid, gid = os.geteuid(), os.getegid()
    unshare(NEW_USERS)
    try:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
        Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    except OSError as exc:
        raise OSError(exc.errno, "this system's user namespaces are of no use") from exc


def mount(
    source: str | None, target: str, kind: str | None, flags: int = 0, data: str | None = None
) -> None:
    """Mount; raises OSError naming the target."""
    raw = [None if text is None else os.fsencode(text) for text in (source, target, kind)]
    told = None if data is None else os.fsencode(data)
    if _libc().mount(*raw, ctypes.c_ulong(flags), told) != 0:
        raise _error(f"can't mount at {target}")


def make_root(folder: str) -> None:
    """Make `folder`, a mount point, the root of this process and let go of the old one."""
    os.chdir(folder)
    number = _PIVOT_ROOT.get(os.uname().machine)
    if number is None:
        raise OSError(38, f"no known way to change the root on {os.uname().machine}")
    if _libc().syscall(ctypes.c_long(number), b".", b".") != 0:
        raise _error("can't change the root")
    if _libc().umount2(b".", _DETACH) != 0:
        raise _error("can't let go of the old root")
    os.chdir("/")


def name_host(name: str) -> None:
    """Set the name of this process's machine."""
    raw = name.encode()
    if _libc().sethostname(raw, ctypes.c_size_t(len(raw))) != 0:
        raise _error("can't name the node")


def die_with_parent(number: int) -> None:
    """Have the kernel signal this process when the one that made it ends."""
    _prctl(_SET_PARENT_DEATH_SIGNAL, number)


def adopt_orphans() -> None:
    """Become the parent of every descendant that loses its own."""
    _prctl(_SET_CHILD_SUBREAPER, 1)


def withhold_capabilities() -> None:
    """Drop from this process and all that come of it what would reach beyond a node."""
    for each in _WITHHELD:
        _prctl(_DROP_BOUND_CAPABILITY, each)


def _prctl(option: int, value: int) -> None:
    if sys.platform.startswith("linux"):
        _libc().prctl(option, ctypes.c_ulong(value), 0, 0, 0)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _error(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{what}: {os.strerror(number)}")
