"""What an archive of a snapshot holds, member by member: written behind the archive's end, where tar doesn't look.

With it, what changed between two snapshots is known without unpacking either, and goes to a node as those stretches of
the archive alone. It ends with where it begins, so an archive that a crash has cut short is known by its last bytes.
"""

from __future__ import annotations

import json
import os
import stat
import struct
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from attrs import field, frozen

#: The last bytes of a whole archive: where the contents begin, how long they are, and a word to know them by.
_END = struct.Struct(">QQ8s")
_WORD = b"flowtar2"
#: What ends one whose contents are squeezed, as they were before.
_SQUEEZED = b"flowtar1"
#: What ends one that holds only what its base lacks; the contents begin behind that.
_BORROWS = b"flowtar3"
#: What ends a tar.
BLOCK = 512
END_OF_TAR = bytes(2 * BLOCK)


class Member(NamedTuple):
    """One thing in an archive: where its bytes are, header and padding included, and what makes it what it is.

    `path` is relative, `/` between parts, as `os.fsdecode` gives it; `what` is equal for equal content, kind and mode.
    `seen` is what the system said of the file when it was read: size, time of change in two ways, number.
    """

    path: str
    mode: int
    what: str
    start: int
    length: int
    seen: tuple[int, ...] = ()

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder, which changes with its mode alone."""
        return stat.S_ISDIR(self.mode)


@frozen(kw_only=True)
class Contents:
    """The members of the archive of the snapshot `digest`, in its order.

    `folder` was its source, and its reading began at `began_ns`, on the clock that files' times are of. One that
    borrows names the digest of its `base`, and what is `borrowed`, in order: from where in this tar, how many bytes,
    and from where in the base's. The rest is its own, in order.
    """

    digest: str
    folder: str = ""
    began_ns: int = 0
    size: int = 0
    members: tuple[Member, ...] = field(default=(), repr=False)
    base: str = ""
    borrowed: tuple[tuple[int, int, int], ...] = field(default=(), repr=False)

    def footer(self) -> bytes:
        """Return what follows the tar's `size` bytes, or as many of them as aren't borrowed."""
        head: dict[str, object]
        head = {"digest": self.digest, "folder": self.folder, "began_ns": self.began_ns}
        own = self.size
        if self.base:
            head |= {"size": self.size, "base": self.base, "borrowed": self.borrowed}
            own -= sum(length for _, length, _ in self.borrowed)
        text = json.dumps([head, self.members], separators=(",", ":")).encode("ascii")
        return text + _END.pack(own, len(text), _BORROWS if self.base else _WORD)


#: What the last archives hold that this process has written or read; none is ever written anew.
_KNOWN: dict[tuple[Path, int, int], Contents] = {}
_MOST_KNOWN = 4


def remember(archive: Path, contents: Contents) -> None:
    """Have `read_contents` know what an archive holds that was just written."""
    _KNOWN[_key(archive)] = contents
    for oldest in list(_KNOWN)[:-_MOST_KNOWN]:
        _KNOWN.pop(oldest, None)


def _key(archive: Path) -> tuple[Path, int, int]:
    seen = archive.stat()
    return archive, seen.st_ino, seen.st_size


def has_end(archive: Path) -> bool:
    """Whether `archive` is there and ends as one that was written to its end."""
    try:
        with archive.open("rb") as file:
            return _end(file) is not None
    except FileNotFoundError:
        return False


def read_contents(archive: Path) -> Contents | None:
    """Return what `archive` holds; None where it is no archive of ours, or not whole.

    Raises:
        FileNotFoundError: it isn't there.
    """
    key = _key(archive)
    if key in _KNOWN:
        return _KNOWN[key]
    with archive.open("rb") as file:
        end = _end(file)
        if end is None:
            return None
        size, length, is_squeezed = end
        file.seek(size)
        text = file.read(length)
    head, rows = json.loads(zlib.decompress(text) if is_squeezed else text)
    head["borrowed"] = tuple(map(tuple, head.get("borrowed", ())))
    members = tuple(
        [
            Member(path, mode, what, start, long, tuple(seen))
            for path, mode, what, start, long, seen in rows
        ]
    )
    contents = Contents(**{"size": size, **head}, members=members)
    remember(archive, contents)
    return contents


def stretches(members: Iterable[Member]) -> list[tuple[int, int]]:
    """Return where the bytes of `members` lie, as (start, length), neighbours as one."""
    found: list[tuple[int, int]] = []
    for each in members:
        if found and sum(found[-1]) == each.start:
            found[-1] = (found[-1][0], found[-1][1] + each.length)
        else:
            found.append((each.start, each.length))
    return found


def changed(
    new: Contents, old: Contents, dirty: Iterable[str]
) -> tuple[Sequence[Member], Sequence[str]]:
    """Return what of `new` a folder lacks that holds `old` but for `dirty`, and which paths of `old` it has too many.

    The folders that a member lies in come along, so that each arrives in a folder of the right mode.
    """
    had = {each.path: (each.mode, each.what) for each in old.members}
    for path in dirty:
        had.pop(path, None)
    wanted: set[str] = set()
    for each in new.members:
        if had.get(each.path) != (each.mode, each.what):
            path = each.path
            while path and path not in wanted:
                wanted.add(path)
                path = path.rpartition("/")[0]
    kept = {each.path for each in new.members}
    gone = [each.path for each in old.members if each.path not in kept]
    return [each for each in new.members if each.path in wanted], gone


def _end(file: IO[bytes]) -> tuple[int, int, bool] | None:
    """Return where the contents begin, how long they are, and whether squeezed."""
    size = os.fstat(file.fileno()).st_size
    if size < _END.size:
        return None
    file.seek(size - _END.size)
    start, length, word = _END.unpack(file.read(_END.size))
    is_ours = word in (_WORD, _SQUEEZED, _BORROWS) and start + length + _END.size == size
    return (start, length, word == _SQUEEZED) if is_ours else None
