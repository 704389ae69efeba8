"""Runs on a node: makes a folder hold the files of a snapshot, of which only what it lacks is sent.

Arguments: the folder, and the digest of what it shall hold, where that is known. It first says, as a line of JSON, what
it `has` (the digest of the snapshot that came last), which of that one's files are `dirty` (changed or gone since), and
whether there is a `way` to its fellows. A line of JSON answers: the `size` of the tar that follows, whether that does
`complete` what is here or is all of it, which paths are `gone`, and either whether to `keep` a copy for fellows
(`{"kept": PATH}` says where, until the input ends), or which `fellow` has one at what `path` (`{"got": true}` says that
it came, and `{"again": WHY}` that it did not, after which the tar is read from the input). A line with the `digest`
comes behind the bytes; one that comes instead of the answer says that there is nothing to do.

Without a size, as nobody knows it yet, the tar comes in pieces, each behind its length in four bytes, the first the
highest; a length of zero ends it.

The tar is unpacked beside its place, and only when all of it has come, moved there file by file. So a connection
that breaks changes nothing, a link that lies in the folder is replaced and never followed, and nothing is written
outside. What an earlier snapshot brought and this one lacks is removed, unless it was changed here.
`.flow-upload/digest` in the folder says what it holds; while files are moved it says nothing.

Python 3.8, standard library only: nodes have what their image has. Somebody waits for its first word, so what takes
long to load is loaded while that is on its way.
"""

# ruff: noqa: PTH100, PTH101, PTH102, PTH103, PTH105, PTH108, PTH110, PTH112, PTH113, PTH114, PTH118, PTH123
# ruff: noqa: PTH208, SIM105

from __future__ import annotations

import json
import os
import stat
import sys
import time

from flow_adapters.node_looks import MOST_DIRTY, TICK_S, discard, looks, real, remove

TYPE_CHECKING = False  # `typing` is slow to load
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, BinaryIO

PLACE = ".flow-upload"
PIECE = 1 << 20
#: How much tar reads at once, and its pipe holds: with its own 10 KiB it takes a quarter longer.
RECORD = 256 << 10


def main(folder: str, digest: str = "") -> int:
    """Ask for what the folder lacks of the snapshot; return the exit code."""
    import fcntl  # what the user's own machine, which may be Windows, lacks

    os.umask(0o022)
    place = os.path.join(folder, PLACE)
    if os.path.islink(place):
        return complain(f"{place} is a link, and must be a folder")
    os.makedirs(place, exist_ok=True)
    lock = os.open(os.path.join(place, "lock"), os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    marker = os.path.join(place, "digest")
    has = content(marker)
    if has and has == digest:
        return 0
    known = load(os.path.join(place, "manifest")) or rode_along(folder)
    seen = looks(folder, known) if has else known
    dirty = [path for path in known if seen[path] != known[path]]
    if not known or len(dirty) > MOST_DIRTY:
        has, dirty = "", []
    say({"has": has, "dirty": dirty, "way": config() is not None})
    import shutil

    for old in os.listdir(place):
        if old.startswith(("stage-", "kept-")):
            left = os.path.join(place, old)
            shutil.rmtree(left) if os.path.isdir(left) else os.unlink(left)
    stage = os.path.join(place, f"stage-{os.getpid()}")
    os.mkdir(stage, 0o700)
    kept = os.path.join(place, f"kept-{os.getpid()}")
    try:
        came = Input(0)
        head = came.line()
        if "digest" in head:
            return 0
        problem = receive(stage, head, came, kept if head.get("keep") else None)
        if problem:
            return complain(problem)
        digest = came.line()["digest"]
        if os.path.exists(marker):
            os.unlink(marker)
        gone = set(head.get("gone", ())) if head.get("complete") else set(known)
        entries = settle(stage, folder, known, gone)
        came_at = time.monotonic()
        if head.get("complete"):
            entries = {**{path: known[path] for path in known if path not in gone}, **entries}
        write(os.path.join(place, "manifest"), json.dumps(entries))
        write(marker, digest)
        while head.get("keep") and os.read(0, 1 << 16):
            pass
    except OSError as error:
        return complain(f"{error.filename2 or error.filename or folder}: {error.strerror}")
    finally:
        shutil.rmtree(stage, ignore_errors=True)
        if os.path.exists(kept):
            os.unlink(kept)
    time.sleep(max(came_at + TICK_S - time.monotonic(), 0))  # noqa: TID251  # on a node
    return 0


def rode_along(folder: str) -> dict[str, Any]:
    """Return what the node script brought itself and is here as it came."""
    import tarfile
    from pathlib import Path

    lies: dict[str, bool] = {}
    found = []
    try:
        with tarfile.open(os.path.join(flow_home(), "code.had")) as tar:
            for each in tar:
                here = Path(folder, each.name)
                came = tar.extractfile(each) if each.isfile() else None
                if real(folder, each.name, lies) and (
                    (came and here.is_file() and here.read_bytes() == came.read())
                    or (each.isdir() and here.is_dir())
                    or (each.issym() and here.is_symlink())
                ):
                    found.append(each.name)
    except OSError:
        pass
    return looks(folder, found)


class Input:
    """What comes: lines of JSON, and bytes of a known number between them."""

    def __init__(self, source: int) -> None:
        self.source = source
        self.ahead = b""

    def line(self) -> Any:
        """Return what the next line of JSON says."""
        while b"\n" not in self.ahead:
            data = os.read(self.source, 1 << 16)
            if not data:
                sys.exit(complain("the rest of it did not come"))
            self.ahead += data
        line, _, self.ahead = self.ahead.partition(b"\n")
        return json.loads(line)

    def pieces(self, size: int) -> Iterator[bytes]:
        """Yield the next `size` bytes; fewer where it ends before."""
        while size:
            data = self.ahead[:size] or os.read(self.source, min(PIECE, size))
            if not data:
                return
            self.ahead = self.ahead[len(data) :]
            size -= len(data)
            yield data

    def framed(self) -> Iterator[bytes]:
        """Yield pieces that come behind their lengths; without the last, which is empty, it is not whole."""
        while True:
            length = b"".join(self.pieces(4))
            if len(length) < 4:
                raise EOFError
            if not any(length):
                return
            yield from self.pieces(int.from_bytes(length, "big"))


def receive(stage: str, head: Any, came: Input, kept: str | None) -> str:
    """Put the files that come into `stage`; return what went wrong, or nothing."""
    import shutil

    size = head.get("size")
    if head.get("fellow"):
        problem = pulled(stage, head)
        if not problem:
            say({"got": True})
            return ""
        say({"again": problem})
        shutil.rmtree(stage)
        os.mkdir(stage, 0o700)
    if kept is None:
        return unpack(stage, came, size)
    with open(os.open(kept, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as copy:
        problem = unpack(stage, came, size, copy)
    if not problem:
        say({"kept": os.path.abspath(kept)})
    return problem


def pulled(stage: str, head: Any) -> str:
    """Unpack what a fellow has kept; return what went wrong, or nothing."""
    import shlex
    import subprocess
    import tempfile

    line = ["ssh", "-F", str(config()), "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-T"]
    line += [head["fellow"], "exec cat " + shlex.quote(head["path"])]
    with tempfile.TemporaryFile() as words:
        ssh = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=words)
        assert ssh.stdout is not None
        tar = tar_into(stage, ssh.stdout.fileno())
        ssh.stdout.close()
        problem, code = ended(tar), ssh.wait()
        if not problem and not code:
            return ""
        words.seek(0)
        told = words.read().decode("utf-8", "replace").strip().splitlines()
    return told[-1] if told else problem or f"ssh ended with {code}"


def unpack(stage: str, came: Input, size: int | None, copy: BinaryIO | None = None) -> str:
    """Put the files of a tar into `stage`; return what went wrong, or nothing."""
    reads, writes = os.pipe()
    tar = tar_into(stage, reads)
    os.close(reads)
    is_read, is_whole, arrived = True, True, 0
    try:
        for data in came.framed() if size is None else came.pieces(size):
            arrived += len(data)
            if copy is not None:
                copy.write(data)
            try:
                while is_read and data:
                    data = data[os.write(writes, data) :]
            except BrokenPipeError:
                is_read = False
    except EOFError:
        is_whole = False
    os.close(writes)
    problem = ended(tar)
    if not is_whole or size not in (None, arrived):
        return f"{arrived} of the archive's {size or 'more'} bytes came"
    return problem


def tar_into(stage: str, source: int) -> int:
    """Start a tar that unpacks what it reads from the pipe `source`; return its number."""
    import fcntl
    import shutil

    line = ["tar", "-x", "--no-same-owner", "--no-same-permissions", "-f", "-", "-C", stage]
    program = os.path.realpath(shutil.which("tar") or "")
    if not program.endswith(("busybox", "toybox")):
        line[2:2] = ["-b", str(RECORD // 512)]  # those two have no such option
    try:
        fcntl.fcntl(source, getattr(fcntl, "F_SETPIPE_SZ", 1031), RECORD)
    except OSError:  # more than a user's pipes may hold
        pass
    return os.posix_spawnp("tar", line, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, source, 0)])


def ended(tar: int) -> str:
    """Wait for a tar; return what went wrong, or nothing."""
    status = os.waitpid(tar, 0)[1]
    return f"tar ended with {status >> 8 or -status}" if status else ""


def settle(stage: str, folder: str, known: Any, gone: set[str]) -> dict[str, Any]:
    """Remove what is gone, move what has come to its place; return what it looks like there."""
    came: list[str] = []
    arrived(stage, "", came)
    remove(folder, {path: known[path] for path in gone - set(came) if path in known})
    lies: dict[str, bool] = {}
    for path in came:
        if (
            len(known.get(path, ())) == 1
            and not os.path.isdir(f"{stage}/{path}")
            and real(folder, path, lies)
        ):
            discard(folder, path, is_folder=True)  # ours, and a file now
    move(stage, folder)
    return looks(folder, came)


def arrived(folder: str, above: str, into: list[str]) -> None:
    """Add the path of everything in `folder`."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if not above and entry.name == PLACE:
                continue
            into.append(above + entry.name)
            if entry.is_dir(follow_symlinks=False):
                arrived(entry.path, above + entry.name + "/", into)


def move(source: str, folder: str) -> None:
    """Move everything in `source` to `folder`: files replace files and links, folders are shared."""
    with os.scandir(source) as entries:
        for entry in entries:
            goal = os.path.join(folder, entry.name)
            if entry.is_symlink() or entry.is_file(follow_symlinks=False):
                os.replace(entry.path, goal)
            elif entry.is_dir(follow_symlinks=False) and entry.name != PLACE:
                mode = stat.S_IMODE(entry.stat(follow_symlinks=False).st_mode)
                os.chmod(entry.path, mode | 0o700)
                if os.path.islink(goal) or os.path.isfile(goal):
                    os.unlink(goal)
                if os.path.lexists(goal):
                    os.chmod(goal, mode | 0o700)
                    move(entry.path, goal)
                else:
                    os.replace(entry.path, goal)
                os.chmod(goal, mode)


def config() -> str | None:
    """Return the settings by which `ssh` finds fellows; None where there are none, or there is no ssh."""
    path = os.path.join(flow_home(), "ssh", "config")
    if not os.path.exists(path):
        return None
    import shutil

    return path if shutil.which("ssh") else None


def flow_home() -> str:
    """Return where Flow keeps its files on this node."""
    return os.environ.get("FLOW_HOME", "/opt/flow")


def content(path: str) -> str:
    """Return the text of a file of ours; "" where there is none."""
    try:
        with open(path) as file:
            return file.read()
    except FileNotFoundError:
        return ""


def load(path: str) -> Any:
    """Return what a file of ours holds; {} where there is none that can be read."""
    try:
        return json.loads(content(path))
    except (OSError, ValueError):
        return {}


def write(path: str, text: str) -> None:
    """Replace a file of ours as a whole."""
    fresh = f"{path}.new"
    with open(fresh, "w") as file:
        file.write(text)
    os.replace(fresh, path)


def say(what: Any) -> None:
    """Say a line of JSON."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def complain(problem: str) -> int:
    """Say what is wrong; return the exit code for it."""
    sys.stderr.write(problem + "\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
