"""A view of this machine, for one process tree, in which folders appear at absolute paths that it doesn't have.

A fresh process takes a mount namespace of its own (and a user namespace, unless it is root) and binds folders where
they are asked for. Where a path doesn't exist, its deepest existing parent is covered by a tmpfs into which all of that
parent's entries are bound, next to the missing folder; for a parent of `/` itself this becomes the new root. So nothing
is ever made in a folder of the host's. What we don't like: entries that others add later to a covered parent are not
seen, and what the process adds there is gone with it.

Runs as a program of its own, with the standard library only: `python -I -S namespaces.py BINDS STAGING COMMAND...`.
Linux only; importing it is harmless anywhere.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

_CLONE_NEWNS, _CLONE_NEWUSER = 0x20000, 0x10000000
_MS_RDONLY, _MS_REMOUNT, _MS_BIND, _MS_MOVE, _MS_REC = 1, 32, 4096, 8192, 16384
_MS_UNBINDABLE, _MS_PRIVATE = 1 << 17, 1 << 18
_MNT_DETACH = 2
#: Flags that a remount in a user namespace must repeat. Source: mount_namespaces(7), "Restrictions".
_LOCKED = 2 | 4 | 8
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}


class Bind(NamedTuple):
    """A folder of this machine and the absolute path at which it appears."""

    source: str
    path: str
    read_only: bool = False


def available() -> str | None:
    """Return None where such a view can be made, else the reason in words; takes some hundredths of a second."""
    if not sys.platform.startswith("linux"):
        return "only Linux has mount namespaces"
    with tempfile.TemporaryDirectory() as folder:
        probe = f"/flow-{Path(folder).name}/probe"
        tried = subprocess.run(
            inside([Bind(folder, probe)], staging=folder, command=["test", "-d", probe]),
            capture_output=True,
            text=True,
            check=False,
        )
    if tried.returncode == 0:
        return None
    return tried.stderr.strip().removeprefix("flow: ") or "this system refuses a mount namespace"


def inside(binds: Sequence[Bind], *, staging: str, command: Sequence[str]) -> list[str]:
    """Return the arguments that run `command` in a view with `binds`; `staging` is a folder it may put things in."""
    return [sys.executable, "-I", "-S", __file__, json.dumps(binds), staging, *command]


def enter(binds: Sequence[Bind], *, staging: str) -> None:
    """Move this process, which must have one thread, into a view in which every bind is in place.

    Raises:
        OSError: the system refuses; the message names the path or the step.
    """
    here = Path.cwd()
    _unshare()
    _mount(None, "/", None, _MS_REC | _MS_PRIVATE)
    view = _View(staging)
    # Opened before the first is bound, which may come to hide what another brings.
    sources = {bind: _opened(bind) for bind in binds}
    for bind in sorted(binds, key=lambda each: each.path):
        view.add(bind, sources[bind])
    view.close()
    os.chdir(here)


class _View:
    """What will be seen, while it is being put together."""

    def __init__(self, staging: str) -> None:
        self._root = Path(staging, "root")
        self._layer = Path(staging, "layer")
        for folder in (self._root, self._layer):
            folder.mkdir(parents=True, exist_ok=True)
        self._prefix = ""
        self._ours: set[int] = set()
        self._bound: dict[str, bool] = {}

    def add(self, bind: Bind, source: int) -> None:
        path = os.path.realpath(bind.path)
        missing = not Path(self._prefix + path).exists()
        if missing:
            self._make(path)
        target = self._prefix + path
        _mount(f"/proc/self/fd/{source}", target, None, _MS_BIND | _MS_REC)
        os.close(source)
        self._bound[path] = bind.read_only

    def close(self) -> None:
        for path, read_only in self._bound.items():
            if read_only:
                flags = os.statvfs(self._prefix + path).f_flag & _LOCKED
                _mount(None, self._prefix + path, None, _MS_BIND | _MS_REMOUNT | _MS_RDONLY | flags)
        if self._prefix:
            os.chdir(self._prefix)
            _change_root()

    def _make(self, path: str) -> None:
        parent = Path(path).parent
        while not Path(self._prefix + str(parent)).exists():
            parent = parent.parent
        if str(parent) == "/" and not self._prefix:
            self._cover("/", self._root)
            _mount(None, str(self._root), None, _MS_UNBINDABLE)
            self._prefix = str(self._root)
        elif not self._may_make_in(str(parent)):
            covered = self._prefix + str(parent)
            self._cover(covered, self._layer)
            _mount(str(self._layer), covered, None, _MS_MOVE)
        Path(self._prefix + path).mkdir(parents=True)

    def _may_make_in(self, parent: str) -> bool:
        if Path(self._prefix + parent).stat().st_dev in self._ours:
            return True
        around = [path for path in self._bound if (parent + "/").startswith(path + "/")]
        return bool(around) and not self._bound[max(around, key=len)]

    def _cover(self, folder: str, place: Path) -> None:
        _mount("flow", str(place), "tmpfs", 0, "mode=755")
        if folder == "/":
            # Or else the binding of /tmp, say, would hold the half-made root once more.
            _mount(None, str(place), None, _MS_UNBINDABLE)
        self._ours.add(place.stat().st_dev)
        for entry in os.scandir(folder):
            twin = place / entry.name
            if entry.is_symlink():
                twin.symlink_to(Path(entry.path).readlink())
                continue
            if entry.is_dir():
                twin.mkdir()
            else:
                twin.touch()
            # What may not be bound (another user's FUSE, say) could not have been read either.
            with contextlib.suppress(OSError):
                _mount(entry.path, str(twin), None, _MS_BIND | _MS_REC)


def _opened(bind: Bind) -> int:
    try:
        return os.open(bind.source, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as exc:
        told = f"{bind.source} can't be mounted at {bind.path}: {exc.strerror}"
        raise OSError(exc.errno, told) from exc


def _unshare() -> None:
    if os.geteuid() == 0 and _libc().unshare(_CLONE_NEWNS) == 0:
        return
    uid, gid = os.getuid(), os.getgid()
    if _libc().unshare(_CLONE_NEWUSER | _CLONE_NEWNS) != 0:
        raise _error("this system refuses a user namespace")
    try:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    except OSError as exc:
        raise OSError(
            exc.errno, f"this system's user namespaces are of no use: {exc.strerror}"
        ) from exc


def _mount(
    source: str | None, target: str, kind: str | None, flags: int, data: str | None = None
) -> None:
    raw = [None if text is None else os.fsencode(text) for text in (source, target, kind)]
    if _libc().mount(*raw, ctypes.c_ulong(flags), None if data is None else data.encode()) != 0:
        raise _error(f"can't mount at {target}")


def _change_root() -> None:
    """Make the working directory the root; chroot is the second best, for its children may not make user namespaces."""
    number = _PIVOT_ROOT.get(os.uname().machine)
    if number is not None and _libc().syscall(ctypes.c_long(number), b".", b".") == 0:
        if _libc().umount2(b".", _MNT_DETACH) != 0:
            raise _error("can't let go of the old root")
    else:
        os.chroot(".")
    os.chdir("/")


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _error(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{what}: {os.strerror(number)}")


def _main() -> int:
    binds, staging, *command = sys.argv[1:]
    try:
        enter([Bind(*each) for each in json.loads(binds)], staging=staging)
        os.execvp(command[0], command)
    except OSError as exc:
        sys.stderr.write(f"flow: {exc.strerror or exc}\n")
        return 127 if exc.errno == errno.ENOENT else 125


if __name__ == "__main__":
    sys.exit(_main())
