"""Files as one stream of bytes, and such a stream as files again. Both ends run this, here and on the node.

The stream is a line of JSON for each thing, in order: a folder before what is in it. A file's line is followed by its
bytes and by a line that says whether they are whole: a file that changes while it is read is known only afterwards.
Nothing lands before it is whole: a file is written beside its place and moved there. Nothing is written through a link,
and no name leads out of the target. A stream without its last line has broken off.

Python 3.8, standard library only: nodes have what their image has. Arguments there: `receive TARGET into|as`, or
`send recursive|plain PATH...`.
"""

# Names come as the system gives them, links are never followed, and thousands of small files pass through here: so
# nothing of pathlib.
# ruff: noqa: PTH101, PTH102, PTH103, PTH105, PTH108, PTH111, PTH112, PTH115, PTH116, PTH118, PTH119, PTH120
# ruff: noqa: PTH123, PTH207, PTH208, PTH211, SIM115

from __future__ import annotations

import contextlib
import glob
import json
import os
import stat
import sys
import tempfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

PIECE = 256 << 10
LONGEST_LINE = 1 << 20
PREFIX = ".flow-cp-"
_NO_COPY = "what came is no copy of files"


class Refused(Exception):
    """The copy can't go on; the message says why. What has landed is whole."""


class Sending:
    """The files below some paths, as a stream; `bytes` and `files` tell how far it has come."""

    def __init__(self, sources: list[str], recursive: bool) -> None:
        self.sources = sources
        self.recursive = recursive
        self.bytes = 0
        self.files = 0

    def __iter__(self) -> Iterator[bytes]:
        """Yield the stream."""
        held: list[bytes] = []
        size = 0
        for part in self._parts():
            held.append(part)
            size += len(part)
            if size >= PIECE:
                yield b"".join(held)
                held, size = [], 0
        yield b"".join(held)

    def _parts(self) -> Iterator[bytes]:
        yield line(kind="total", bytes=self.weight())
        for source in self.sources:
            name = source.rstrip("/") or "/"
            last = os.path.basename(name)
            path = () if last in ("", ".", "..") else (last,)
            # Whoever names a link means what it leads to.
            yield from self._thing(source, path, os.stat)
        yield line(kind="end")

    def _thing(self, place: str, path: tuple[str, ...], look: Any) -> Iterator[bytes]:
        try:
            there = look(place)
            mode, mtime = stat.S_IMODE(there.st_mode), there.st_mtime_ns
            if stat.S_ISLNK(there.st_mode):
                yield line(kind="link", path=path, to=os.readlink(place))
            elif stat.S_ISREG(there.st_mode):
                yield from self._file(place, path, mode)
            elif not stat.S_ISDIR(there.st_mode):
                yield line(kind="left", path=path, why="is neither file, folder nor link")
            elif not self.recursive:
                yield line(kind="left", path=path, why="is a folder, and -r copies those")
            else:
                names = sorted(os.listdir(place))
                yield line(kind="folder", path=path, mode=mode, mtime=mtime)
                for name in names:
                    yield from self._thing(os.path.join(place, name), (*path, name), os.lstat)
        except OSError as error:
            yield line(kind="left", path=path, why=f"can't be read: {error.strerror}")

    def _file(self, place: str, path: tuple[str, ...], mode: int) -> Iterator[bytes]:
        with open(place, "rb", buffering=0) as file:
            before = os.fstat(file.fileno())
            left = before.st_size
            yield line(kind="file", path=path, mode=mode, mtime=before.st_mtime_ns, size=left)
            why = ""
            while left:
                try:
                    data = b"" if why else file.read(min(PIECE, left))
                except OSError as error:
                    data, why = b"", f"can't be read: {error.strerror}"
                if not data:
                    why = why or "was cut while it was read"
                    data = bytes(min(PIECE, left))
                left -= len(data)
                self.bytes += len(data)
                yield data
            after = os.fstat(file.fileno())
            if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
                why = why or "changed while it was read"
            self.files += not why
            yield line(kind="over", why=why)

    def weight(self) -> int:
        """Return how many bytes are to be sent, as far as can be seen."""
        return sum(map(self._weight, self.sources))

    def _weight(self, place: str) -> int:
        try:
            there = os.stat(place)
        except OSError:
            return 0
        if not stat.S_ISDIR(there.st_mode):
            return there.st_size
        found = 0
        for folder, _, names in os.walk(place) if self.recursive else ():
            for name in names:
                with contextlib.suppress(OSError):
                    each = os.lstat(os.path.join(folder, name))
                    found += each.st_size if stat.S_ISREG(each.st_mode) else 0
        return found


class Receiving:
    """A stream on its way to be files again. `feed` it, then `end` it; `abandon` leaves no half file behind.

    Where `target` is a folder, or `into` says that it is to be one, things land in it under their own names; else the
    one thing that comes gets its name. `troubles` tells what didn't come and why; the rest is there.
    """

    def __init__(self, target: str, into: bool) -> None:
        self.target = target
        self.total: int | None = None
        self.bytes = 0
        self.files = 0
        self.troubles: list[str] = []
        self._place = target
        self._renamed: str | None = None
        self._first: str | None = None
        self._into = into or target.endswith("/")
        self._is_placed = False
        self._is_over = False
        self._line = b""
        self._left = 0
        self._file: Any = None
        self._about: dict[str, Any] = {}
        self._folders: list[tuple[str, int, int]] = []
        self._known: set[tuple[str, ...]] = {()}

    def feed(self, data: bytes) -> None:
        """Take some bytes of the stream.

        Raises:
            Refused: something can't be written, or must not be.
        """
        try:
            self._feed(data)
        except OSError as error:
            self.abandon()
            raise Refused(f"{error.filename or self.target}: {error.strerror}") from error
        except BaseException:
            self.abandon()
            raise

    def end(self) -> None:
        """Say that the stream has ended.

        Raises:
            Refused: it has broken off before its end.
        """
        self.abandon()
        if not self._is_over:
            raise Refused("the stream broke off before its end; every file that has come is whole")

    def abandon(self) -> None:
        """Take away the file that is not whole, if there is one, and finish the folders."""
        if self._file is not None:
            self._file.close()
            with contextlib.suppress(OSError):
                os.unlink(self._file.name)
            self._file = None
        for place, mode, mtime in reversed(self._folders):
            with contextlib.suppress(OSError):
                os.chmod(place, mode & 0o777)
                os.utime(place, ns=(mtime, mtime))
        self._folders = []

    def _feed(self, data: bytes) -> None:
        view = memoryview(data)
        at = 0
        while at < len(data):
            if self._left:
                part = view[at : at + self._left]
                done = self._file.write(part)
                self._left -= done
                self.bytes += done
                at += done
                continue
            if self._is_over:
                raise Refused("more came after the end")
            found = data.find(b"\n", at)
            end = found + 1 if found >= 0 else len(data)
            self._line += data[at:end]
            at = end
            if len(self._line) > LONGEST_LINE:
                raise Refused(_NO_COPY)
            if found >= 0:
                text, self._line = self._line, b""
                self._take(text)

    def _take(self, text: bytes) -> None:
        try:
            about = json.loads(text.decode("ascii"))
            kind, path = about["kind"], tuple(about.get("path", ()))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Refused(_NO_COPY) from error
        if self._file is not None and kind != "over":
            raise Refused(_NO_COPY)
        if kind == "total":
            self.total = int(about["bytes"])
        elif kind == "left":
            self.troubles.append(f"{shown(path)} {about['why']}")
        elif kind == "folder":
            self._folder(path, about)
        elif kind == "link":
            self._link(self._goal(path), str(about["to"]))
        elif kind == "file":
            self._begin(path, about)
        elif kind == "over" and self._file is not None:
            self._finish(about)
        elif kind == "end":
            self._is_over = True
        else:
            raise Refused(_NO_COPY)

    def _folder(self, path: tuple[str, ...], about: dict[str, Any]) -> None:
        if not path:
            self._placed(None)
            return
        goal = self._goal(path)
        there = _lstat(goal)
        if there is None:
            os.mkdir(goal, 0o700)
        elif not stat.S_ISDIR(there.st_mode):
            raise Refused(f"{goal} is no folder, and a folder of that name came")
        if there is None:
            self._folders.append((goal, int(about["mode"]), int(about["mtime"])))
        self._known.add(path)

    def _link(self, goal: str, to: str) -> None:
        self._no_folder(goal)
        fresh = os.path.join(os.path.dirname(goal), PREFIX + os.urandom(8).hex())
        os.symlink(to, fresh)
        try:
            os.replace(fresh, goal)
        except BaseException:
            os.unlink(fresh)
            raise

    def _begin(self, path: tuple[str, ...], about: dict[str, Any]) -> None:
        goal = self._goal(path)
        self._no_folder(goal)
        size = about["size"]
        if not isinstance(size, int) or size < 0:
            raise Refused(_NO_COPY)
        self._file = tempfile.NamedTemporaryFile(
            prefix=PREFIX, dir=os.path.dirname(goal) or ".", buffering=0, delete=False
        )
        self._left = size
        self._about = dict(about, goal=goal, path=path)

    def _finish(self, about: dict[str, Any]) -> None:
        file, told = self._file, self._about
        if about["why"]:
            self.troubles.append(f"{shown(told['path'])} {about['why']}")
            file.close()
            os.unlink(file.name)
            self._file = None
            return
        mtime = int(told["mtime"])
        file.close()
        os.chmod(file.name, int(told["mode"]) & 0o777)
        os.utime(file.name, ns=(mtime, mtime))
        os.replace(file.name, told["goal"])
        self._file = None
        self.files += 1

    def _goal(self, path: tuple[str, ...]) -> str:
        """Return where a thing belongs; the folders above it came before, or are the target."""
        for part in path:
            if not isinstance(part, str) or part in ("", ".", "..") or "/" in part or "\0" in part:
                raise Refused(f"{part!r} leads out of the target")
            if os.sep != "/" and (os.sep in part or ":" in part):
                raise Refused(f"{part!r} is no name on this machine")
        if not path or path[:-1] not in self._known:
            raise Refused(f"{shown(path)} came without its folder")
        self._placed(path[0])
        names = (self._renamed, *path[1:]) if self._renamed is not None else path
        return os.path.join(self._place, *names)

    def _placed(self, first: str | None) -> None:
        """Settle, when the first thing comes, what the target means; `first` is None for a folder's contents."""
        if self._is_placed:
            if self._renamed is not None and first != self._first:
                raise Refused(f"{self.target} is to be the name of more than one thing")
            return
        self._is_placed = True
        if os.path.isdir(self.target):
            return
        if self._into or first is None:
            os.makedirs(self.target, exist_ok=True)
            return
        folder, name = os.path.split(self.target)
        if not os.path.isdir(folder or "."):
            raise Refused(f"there is no folder {folder} to put {name} in")
        self._place, self._renamed = folder or ".", name
        self._first = first

    def _no_folder(self, goal: str) -> None:
        there = _lstat(goal)
        if there is not None and stat.S_ISDIR(there.st_mode):
            raise Refused(f"{goal} is a folder, and something else of that name came")


def line(**about: Any) -> bytes:
    """Return one line of the stream."""
    return json.dumps(about).encode("ascii") + b"\n"


def shown(path: tuple[str, ...]) -> str:
    """Return a path in the stream as people write it; names are strangers' words."""
    return ascii("/".join(path))[1:-1] if path else "."


def _lstat(place: str) -> os.stat_result | None:
    try:
        return os.lstat(place)
    except FileNotFoundError:
        return None


def found(pattern: str) -> list[str]:
    """Return what a path on the node means: itself where it is there, else what it matches as a pattern."""
    place = os.path.expanduser(pattern or ".")
    return [place] if os.path.lexists(place) else sorted(glob.glob(place)) or [place]


def receive(target: str, how: str) -> int:
    """Receive from standard input; return the exit code."""
    import signal

    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(143))
    receiving = Receiving(os.path.expanduser(target or "."), how == "into")
    try:
        while True:
            data = os.read(0, PIECE)
            if not data:
                break
            receiving.feed(data)
        receiving.end()
    except Refused as refusal:
        receiving.troubles.append(str(refusal))
    finally:
        receiving.abandon()
    for trouble in receiving.troubles:
        sys.stderr.write(trouble + "\n")
    return 1 if receiving.troubles else 0


def send(how: str, patterns: list[str]) -> int:
    """Send to standard output; return the exit code."""
    sources = [place for pattern in patterns for place in found(pattern)]
    for piece in Sending(sources, how == "recursive"):
        left = memoryview(piece)
        while left:
            left = left[os.write(1, left) :]
    return 0


def main(words: list[str]) -> int:
    """Be the end of the stream that the words say."""
    return receive(words[1], words[2]) if words[0] == "receive" else send(words[1], words[2:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
