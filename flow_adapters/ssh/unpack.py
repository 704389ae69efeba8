"""Runs on a node: makes a folder hold the files of an archive that comes on standard input.

Arguments: the folder, the digest of what the archive holds, its size in bytes, and tar's option for its compression.
The archive is unpacked beside its place, and only when all of it has come, moved there file by file. So a connection
that breaks changes nothing, a link that lies in the folder is replaced and never followed, and nothing is written
outside. `.flow-upload/digest` in the folder says what it holds; while files are moved it says nothing.

Python 3.8, standard library only: nodes have what their image has.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

PLACE = ".flow-upload"


def main(folder: Path, digest: str, size: int, compression: str) -> int:
    """Ask for the archive unless its files are here already; return the exit code."""
    import fcntl

    os.umask(0o022)
    place = folder / PLACE
    if place.is_symlink():
        return complain(f"{place} is a link, and must be a folder")
    place.mkdir(parents=True, exist_ok=True)
    lock = os.open(place / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    marker = place / "digest"
    if marker.exists() and marker.read_text() == digest:
        return 0
    sys.stdout.write("send\n")
    sys.stdout.flush()
    for old in place.glob("stage-*"):
        shutil.rmtree(old, ignore_errors=True)
    stage = Path(tempfile.mkdtemp(prefix="stage-", dir=place))
    try:
        problem = unpack(stage, size, compression)
        if problem:
            return complain(problem)
        if marker.exists():
            marker.unlink()
        move(stage, folder)
    except OSError as error:
        return complain(f"{error.filename2 or error.filename or folder}: {error.strerror}")
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    fresh = place / "digest.new"
    fresh.write_text(digest)
    fresh.replace(marker)
    return 0


def unpack(stage: Path, size: int, compression: str) -> str:
    """Put the archive's files into `stage`; return what went wrong, or nothing."""
    options = [compression] if compression else []
    options += ["--no-same-owner", "--no-same-permissions"]
    line = ["tar", "-x", *options, "-f", "-", "-C", str(stage)]
    tar = subprocess.Popen(line, stdin=subprocess.PIPE, bufsize=0)
    assert tar.stdin is not None
    come = 0
    is_read = True
    while True:
        data = os.read(0, 1 << 20)
        if not data:
            break
        come += len(data)
        try:
            while is_read and data:
                data = data[tar.stdin.write(data) :]
        except BrokenPipeError:
            is_read = False
    tar.stdin.close()
    code = tar.wait()
    if come != size:
        return f"{come} of the archive's {size} bytes came"
    return f"tar ended with {code}" if code else ""


def move(source: Path, folder: Path) -> None:
    """Move everything in `source` to `folder`: files replace files and links, folders are shared."""
    with os.scandir(source) as entries:
        for entry in entries:
            goal = folder / entry.name
            if entry.is_symlink() or entry.is_file(follow_symlinks=False):
                os.replace(entry.path, goal)  # noqa: PTH105  # twice as fast on many files
            elif entry.is_dir(follow_symlinks=False) and entry.name != PLACE:
                mode = stat.S_IMODE(entry.stat(follow_symlinks=False).st_mode)
                Path(entry.path).chmod(mode | 0o700)
                if goal.is_symlink() or goal.is_file():
                    goal.unlink()
                goal.mkdir(exist_ok=True)
                goal.chmod(mode | 0o700)
                move(Path(entry.path), goal)
                goal.chmod(mode)


def complain(problem: str) -> int:
    """Say what is wrong; return the exit code for it."""
    sys.stderr.write(problem + "\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]))
