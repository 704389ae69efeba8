"""A node's root: this machine's own files below, the node's boot disk on top.

The root itself is a folder of the boot disk. Each folder of the host's root that a node may see is put there as an
overlay whose upper layer is the folder of the same name on the boot disk. One overlay of `/` would do for root, but
not in a user namespace, where a folder with other mounts below it can be no lower layer: such a one is taken apart
into its entries. What a node has for itself (`/home`, `/opt`, `/tmp`, ...) is plain folders of the boot disk, so locks
and files there are the same inside and outside.

As a plain user, only the folders that are also on the boot disk belong to the node's root: those that programs
usually write to are made there at first boot.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import NamedTuple

from flow_providers.mock.boot import syscalls
from flow_providers.mock.boot.syscalls import BIND, NO_DEV, NO_EXEC, NO_SUID, READ_ONLY, RECURSIVE

#: Folders of the host's root that a node has of its own, empty at first boot.
OWN = ("home", "media", "mnt", "opt", "root", "tmp", "workspace")
_MADE = ("dev", "proc", "run", "sys")
_DEVICES = ("full", "fuse", "null", "random", "tty", "urandom", "zero")
#: File systems that hold no files of a disk.
_PSEUDO = frozenset(
    [
        "autofs",
        "binfmt_misc",
        "bpf",
        "cgroup",
        "cgroup2",
        "configfs",
        "debugfs",
        "devpts",
        "devtmpfs",
        "efivarfs",
        "fusectl",
        "hugetlbfs",
        "mqueue",
        "nsfs",
        "proc",
        "pstore",
        "ramfs",
        "rpc_pipefs",
        "securityfs",
        "sysfs",
        "tmpfs",
        "tracefs",
    ]
)
#: Folders (and how deep below them) that a plain user's node makes its own, because programs write there.
_OWNED = (("etc", 3), ("srv", 1), ("usr", 2), ("usr/lib/python3", 1), ("usr/share", 1), ("var", 3))


class Bound(NamedTuple):
    """A folder of the host's that a node sees at `path`."""

    source: str
    path: str
    read_only: bool = False


class Device(NamedTuple):
    """A block device that a node has under `name` in /dev, and under `by_id` in /dev/disk/by-id."""

    number: int
    name: str
    by_id: str


class Root:
    """The root of one node, put together below `view` by whoever has a mount namespace of his own."""

    def __init__(self, folder: Path, *, is_root: bool, own: tuple[str, ...] = OWN) -> None:
        self._upper = folder / "disk" / "upper"
        self._work = folder / "disk" / "work"
        self._view = folder / "view"
        self._is_root = is_root
        self._own = own
        self._mounts = _mount_points()

    def make(self, binds: list[Bound], devices: list[Device], *, local: Path, hidden: str) -> None:
        """Mount everything and make it the root of this process.

        `local` becomes /mnt/local. `hidden` is a path of the host's that the node sees empty.

        Raises:
            OSError: the system refuses; the message names the place.
        """
        for folder in (self._upper, self._work, self._view):
            folder.mkdir(parents=True, exist_ok=True)
        syscalls.mount(None, "/", None, RECURSIVE | syscalls.PRIVATE)
        syscalls.mount(str(self._upper), str(self._view), None, BIND)
        self._view.chmod(0o755)
        for name in (*self._own, *_MADE, "mnt/local"):
            (self._view / name).mkdir(exist_ok=True)
        (self._view / "tmp").chmod(0o1777)
        self._take_apart("")
        self._kernel_folders(devices)
        units = self._upper.parent / "units"
        units.mkdir(exist_ok=True)
        self._bind(str(units), "/etc/systemd/system")
        self._bind(str(local), "/mnt/local")
        for each in sorted(binds, key=lambda bind: bind.path):
            self._bind(each.source, each.path, read_only=each.read_only)
        if (self._view / hidden.lstrip("/")).is_dir():
            syscalls.mount("node", str(self._view) + hidden, "tmpfs", 0, "size=4k,mode=0755")
        syscalls.make_root(str(self._view))

    def _take_apart(self, path: str) -> None:
        """Show the entries of a folder of the host's one by one; the folder itself is on the boot disk."""
        for entry in sorted(os.scandir(path or "/"), key=lambda entry: entry.name):
            here, name = f"{path}/{entry.name}", f"{path}/{entry.name}".lstrip("/")
            if name in (*self._own, *_MADE) or self._mounts.get(here) in _PSEUDO:
                continue
            place = self._view / name
            if entry.is_symlink():
                if not os.path.lexists(place):
                    place.symlink_to(Path(entry.path).readlink())
            elif entry.is_dir():
                self._cover(here)
            elif path:
                place.touch()
                with contextlib.suppress(OSError):
                    syscalls.mount(here, str(place), None, BIND)

    def _cover(self, path: str, *, is_inner: bool = False) -> None:
        name = path.lstrip("/")
        (self._view / name).mkdir(parents=True, exist_ok=True)
        inner = [each for each in self._mounts if each.startswith(path + "/")]
        if inner and not self._is_root:
            self._take_apart(path)
            return
        flat = name.replace("/", "%")
        upper, work = self._upper / name, self._work / flat
        if is_inner:
            # An upper layer can't lie within another's.
            upper = self._upper.parent / "inner" / flat
        for folder in (upper, work):
            folder.mkdir(parents=True, exist_ok=True)
        if not any(upper.iterdir()):
            self._begin(path, upper)
        options = f"lowerdir={_escaped(path)},upperdir={_escaped(upper)},workdir={_escaped(work)}"
        syscalls.mount(
            "node",
            str(self._view / name),
            "overlay",
            0,
            options + ("" if self._is_root else ",userxattr"),
        )
        for each in inner:
            if self._mounts[each] not in _PSEUDO:
                with contextlib.suppress(OSError):
                    self._cover(each, is_inner=True)

    def _begin(self, path: str, upper: Path) -> None:
        """Give a new upper layer the rights of what it covers, and a plain user's node the folders it needs."""
        with contextlib.suppress(OSError):
            found = Path(path).stat()
            upper.chmod(stat.S_IMODE(found.st_mode))
            if self._is_root:
                os.chown(upper, found.st_uid, found.st_gid)
        if not self._is_root:
            upper.chmod(0o755)
            for owned, depth in _OWNED:
                if (owned + "/").startswith(path.lstrip("/") + "/"):
                    _mirror(Path("/", owned), self._upper / owned, depth)

    def _kernel_folders(self, devices: list[Device]) -> None:
        view = str(self._view)
        syscalls.mount("proc", f"{view}/proc", "proc", NO_SUID | NO_DEV | NO_EXEC)
        for name in ("sys", "sysrq-trigger"):
            with contextlib.suppress(OSError):
                self._bind(f"{view}/proc/{name}", f"/proc/{name}", read_only=True)
        with contextlib.suppress(OSError):
            # Without what is mounted below it: control groups are the machine's own.
            self._bind("/sys", "/sys", read_only=True, deep=not self._is_root)
        syscalls.mount("run", f"{view}/run", "tmpfs", NO_DEV, "mode=0755")
        for name in ("lock", "user", "systemd/system"):
            (self._view / "run" / name).mkdir(parents=True)
        syscalls.mount("dev", f"{view}/dev", "tmpfs", 0, "mode=0755")
        for name in _DEVICES:
            with contextlib.suppress(OSError):
                (self._view / "dev" / name).touch()
                syscalls.mount(f"/dev/{name}", f"{view}/dev/{name}", None, BIND)
        dev = self._view / "dev"
        for name in ("pts", "shm", "disk/by-id"):
            (dev / name).mkdir(parents=True)
        mode = "newinstance,ptmxmode=0666,mode=0620" + (",gid=5" if self._is_root else "")
        syscalls.mount("devpts", f"{view}/dev/pts", "devpts", NO_SUID | NO_EXEC, mode)
        syscalls.mount("shm", str(dev / "shm"), "tmpfs", NO_SUID | NO_DEV, "mode=1777")
        links = {"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "/proc/self/fd/0"}
        links |= {"stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"}
        for name, target in links.items():
            (dev / name).symlink_to(target)
        for each in devices:
            os.mknod(dev / each.name, stat.S_IFBLK | 0o660, each.number)
            (dev / "disk" / "by-id" / each.by_id).symlink_to(f"../../{each.name}")

    def _bind(self, source: str, path: str, *, read_only: bool = False, deep: bool = True) -> None:
        target = str(self._view) + path
        if Path(source).is_dir():
            Path(target).mkdir(parents=True, exist_ok=True)
        syscalls.mount(source, target, None, BIND | (RECURSIVE if deep else 0))
        if read_only:
            kept = os.statvfs(target).f_flag & (NO_SUID | NO_DEV | NO_EXEC)
            syscalls.mount(None, target, None, BIND | syscalls.REMOUNT | READ_ONLY | kept)


def _mirror(source: Path, target: Path, depth: int) -> None:
    target.mkdir(parents=True, exist_ok=True)
    if depth == 0:
        return
    with contextlib.suppress(OSError):
        for entry in os.scandir(source):
            if entry.is_dir(follow_symlinks=False):
                _mirror(Path(entry.path), target / entry.name, depth - 1)


def _mount_points() -> dict[str, str]:
    """Return every mount point of this process and the kind of file system on it."""
    found = {}
    for line in Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines():
        fields = line.split()
        place = fields[4].encode("utf-8", "surrogateescape").decode("unicode_escape")
        found[place] = fields[fields.index("-") + 1]
    return found


def _escaped(path: object) -> str:
    """Return a path as overlay options take it."""
    return str(path).replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,")
