"""Runs on a node: makes a folder hold the files of a snapshot, of which only what it lacks is sent.

Arguments: the folder, and the digest of what it shall hold. It first says, as a line of JSON, what it `has` (the digest
of the snapshot that came last), which of that one's files are `dirty` (changed or gone since), and whether there is a
`way` to its fellows. A line of JSON answers: the `size` of the tar that follows, whether that does `complete` what is
here or is all of it, which paths are `gone`, and either whether to `keep` a copy for fellows (`{"kept": PATH}` says
where, until the input ends), whether to `stay` (`{"there": true}` says that all is done, but for the end of the
input), or which `fellow` has one at what `path` (`{"got": true}` says that it came, and
`{"again": WHY}` that it did not, after which the tar is read from the input).

The tar is unpacked beside its place, and only when all of it has come, moved there file by file. So a connection
that breaks changes nothing, a link that lies in the folder is replaced and never followed, and nothing is written
outside. What an earlier snapshot brought and this one lacks is removed, unless it was changed here.
`.flow-upload/digest` in the folder says what it holds; while files are moved it says nothing.

Python 3.8, standard library only: nodes have what their image has.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import stat
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

PLACE = ".flow-upload"
#: More than these and all is sent.
MOST_DIRTY = 2_000
#: Longer than any system's clock takes to tick, so that what changes later has another time.
TICK_S = 0.02


def main(folder: Path, digest: str) -> int:
    """Ask for what the folder lacks of the snapshot; return the exit code."""
    import fcntl

    os.umask(0o022)
    place = folder / PLACE
    if place.is_symlink():
        return complain(f"{place} is a link, and must be a folder")
    place.mkdir(parents=True, exist_ok=True)
    lock = os.open(str(place / "lock"), os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    marker = place / "digest"
    has = marker.read_text() if marker.exists() else ""
    if has == digest:
        return 0
    known = load(place / "manifest") or rode_along(folder)
    lies: dict[str, bool] = {}
    dirty = [path for path, seen in known.items() if has and look(folder, path, lies) != seen]
    if not known or len(dirty) > MOST_DIRTY:
        has, dirty = "", []
    say({"has": has, "dirty": dirty, "way": config() is not None})
    head, rest = heard()
    for old in [*place.glob("stage-*"), *place.glob("kept-*")]:
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    stage = place / f"stage-{os.getpid()}"
    stage.mkdir(0o700)
    kept = place / f"kept-{os.getpid()}"
    try:
        problem = receive(stage, head, rest, kept if head.get("keep") else None)
        if problem:
            return complain(problem)
        if marker.exists():
            marker.unlink()
        gone = set(head.get("gone", ())) if head.get("complete") else set(known)
        entries = settle(stage, folder, known, gone)
        if head.get("complete"):
            entries = {**{path: known[path] for path in known if path not in gone}, **entries}
        write(place / "manifest", json.dumps(entries))
        write(marker, digest)
        if head.get("stay"):
            os.close(lock)
            say({"there": True})
        if head.get("keep") or head.get("stay"):
            while os.read(0, 1 << 16):
                pass
    except OSError as error:
        return complain(f"{error.filename2 or error.filename or folder}: {error.strerror}")
    finally:
        shutil.rmtree(stage, ignore_errors=True)
        if kept.exists():
            kept.unlink()
    return 0


def rode_along(folder: Path) -> dict[str, Any]:
    """Return what the node script brought itself and is here as it came."""
    import tarfile

    lies: dict[str, bool] = {}
    found = {}
    try:
        with tarfile.open(str(Path(flow_home(), "code.had"))) as tar:
            for each in tar:
                here = folder / each.name
                content = tar.extractfile(each) if each.isfile() else None
                if real(folder, each.name, lies) and (
                    (content and here.is_file() and here.read_bytes() == content.read())
                    or (each.isdir() and here.is_dir())
                    or (each.issym() and here.is_symlink())
                ):
                    found[each.name] = look(folder, each.name, lies)
    except OSError:
        pass
    return found


def receive(stage: Path, head: Any, rest: bytes, kept: Path | None) -> str:
    """Put the files that come into `stage`; return what went wrong, or nothing."""
    size = head["size"]
    if head.get("fellow"):
        problem = pulled(stage, head, size)
        if not problem:
            say({"got": True})
            return ""
        say({"again": problem})
        shutil.rmtree(stage)
        stage.mkdir(0o700)
    if kept is None:
        return unpack(stage, 0, rest, size)
    with os.fdopen(os.open(str(kept), os.O_WRONLY | os.O_CREAT, 0o600), "wb") as copy:
        problem = unpack(stage, 0, rest, size, copy)
    if not problem:
        say({"kept": str(kept.absolute())})
    return problem


def pulled(stage: Path, head: Any, size: int) -> str:
    """Unpack what a fellow has kept; return what went wrong, or nothing."""
    line = ["ssh", "-F", str(config()), "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-T"]
    line += [head["fellow"], "exec cat " + shlex.quote(head["path"])]
    import tempfile

    with tempfile.TemporaryFile() as words:
        ssh = subprocess.Popen(
            line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=words, bufsize=0
        )
        assert ssh.stdout is not None
        problem = unpack(stage, ssh.stdout.fileno(), b"", size)
        ssh.stdout.close()
        code = ssh.wait()
        if not problem and not code:
            return ""
        words.seek(0)
        told = words.read().decode("utf-8", "replace").strip().splitlines()
    return told[-1] if told else problem or f"ssh ended with {code}"


def unpack(stage: Path, source: int, rest: bytes, size: int, copy: BinaryIO | None = None) -> str:
    """Put the files of a tar of `size` bytes into `stage`; return what went wrong, or nothing."""
    line = ["tar", "-x", "--no-same-owner", "--no-same-permissions", "-f", "-", "-C", str(stage)]
    tar = subprocess.Popen(line, stdin=subprocess.PIPE, bufsize=0)
    assert tar.stdin is not None
    come, data, is_read = len(rest), rest, True
    while True:
        if copy is not None:
            copy.write(data)
        try:
            while is_read and data:
                data = data[tar.stdin.write(data) :]
        except BrokenPipeError:
            is_read = False
        data = os.read(source, min(1 << 20, size - come)) if come < size else b""
        come += len(data)
        if not data:
            break
    tar.stdin.close()
    code = tar.wait()
    if come != size:
        return f"{come} of the archive's {size} bytes came"
    return f"tar ended with {code}" if code else ""


def settle(stage: Path, folder: Path, known: Any, gone: set[str]) -> dict[str, Any]:
    """Remove what is gone, move what has come to its place; return what it looks like there."""
    came: list[str] = []
    arrived(stage, "", came)
    lies: dict[str, bool] = {}
    for path in sorted(gone - set(came), reverse=True):
        if path in known and look(folder, path, lies) == known[path]:
            with suppress(OSError):  # a folder with something else in it
                (folder / path).rmdir() if len(known[path]) == 1 else (folder / path).unlink()
    for path in came:
        if (
            len(known.get(path, ())) == 1
            and not (stage / path).is_dir()
            and real(folder, path, lies)
        ):
            with suppress(OSError):
                (folder / path).rmdir()  # ours, and a file now
    move(stage, folder)
    time.sleep(TICK_S)  # noqa: TID251  # on a node
    lies = {}
    return {path: look(folder, path, lies) for path in came}


def arrived(folder: Path, above: str, into: list[str]) -> None:
    """Add the path of everything in `folder`."""
    with os.scandir(str(folder)) as entries:
        for entry in entries:
            if not above and entry.name == PLACE:
                continue
            into.append(above + entry.name)
            if entry.is_dir(follow_symlinks=False):
                arrived(Path(entry.path), above + entry.name + "/", into)


def look(folder: Path, path: str, lies: dict[str, bool]) -> list[int] | None:
    """Return what changes with a file: all of it, or a folder's mode alone; None where it isn't, or behind a link."""
    try:
        seen = os.lstat(f"{folder}/{path}")
    except OSError:
        return None
    if not real(folder, path, lies):
        return None
    if stat.S_ISDIR(seen.st_mode):
        return [seen.st_mode]
    return [seen.st_mode, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_ino]


def real(folder: Path, path: str, lies: dict[str, bool]) -> bool:
    """Whether every folder on the way to `path` is one, and no link; `lies` remembers."""
    above = path.rpartition("/")[0]
    if not above:
        return True
    if above not in lies:
        try:
            mode = os.lstat(f"{folder}/{above}").st_mode
            lies[above] = stat.S_ISDIR(mode) and real(folder, above, lies)
        except OSError:
            lies[above] = False
    return lies[above]


def move(source: Path, folder: Path) -> None:
    """Move everything in `source` to `folder`: files replace files and links, folders are shared."""
    with os.scandir(str(source)) as entries:
        for entry in entries:
            goal = folder / entry.name
            if entry.is_symlink() or entry.is_file(follow_symlinks=False):
                os.replace(entry.path, str(goal))  # noqa: PTH105  # twice as fast on many files
            elif entry.is_dir(follow_symlinks=False) and entry.name != PLACE:
                mode = stat.S_IMODE(entry.stat(follow_symlinks=False).st_mode)
                Path(entry.path).chmod(mode | 0o700)
                if goal.is_symlink() or goal.is_file():
                    goal.unlink()
                goal.mkdir(exist_ok=True)
                goal.chmod(mode | 0o700)
                move(Path(entry.path), goal)
                goal.chmod(mode)


def config() -> Path | None:
    """Return the settings by which `ssh` finds fellows; None where there are none, or there is no ssh."""
    path = Path(flow_home(), "ssh", "config")
    return path if path.exists() and shutil.which("ssh") else None


def flow_home() -> str:
    """Return where Flow keeps its files on this node."""
    return os.environ.get("FLOW_HOME", "/opt/flow")


def heard() -> tuple[Any, bytes]:
    """Return the line of JSON that came, and what came behind it."""
    text = b""
    while b"\n" not in text:
        data = os.read(0, 1 << 16)
        if not data:
            sys.exit(complain("nothing came"))
        text += data
    line, _, rest = text.partition(b"\n")
    return json.loads(line), rest


def load(path: Path) -> Any:
    """Return what a file of ours holds; {} where there is none that can be read."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}


def write(path: Path, text: str) -> None:
    """Replace a file of ours as a whole."""
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(text)
    fresh.replace(path)


def say(what: Any) -> None:
    """Say a line of JSON."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def complain(problem: str) -> int:
    """Say what is wrong; return the exit code for it."""
    sys.stderr.write(problem + "\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
