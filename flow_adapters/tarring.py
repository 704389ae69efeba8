"""Writes what was found in a folder as a tar, and tells what each member is.

Members that are as they were in an earlier archive are copied from it in long stretches, which file systems do without
reading, or borrowed; the others are read once, hashed and written in one go. Headers are GNU's. Those of the usual kind
are made here, since tarfile takes longer for a header than for a small file.

What is written goes out in long pieces, and who reads the archive meanwhile is told how far it is.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
import zlib
from collections.abc import Callable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import IO

from flow_adapters.archives import Run, Tar
from flow_adapters.contents import BLOCK, END_OF_TAR, Contents, Member
from flow_adapters.walking import Found, seen_of, unreadable
from flow_adapters.writing_behind import WritingBehind
from flow_core.errors import InvalidRequest

#: A file changed this shortly before its reading may have been changed again without another time; it is read anew.
#: Clocks tick within a hundredth of a second. Times of whole seconds may be all that a file system has, or every other.
_TICK_NS, _COARSE_TICK_NS = 100_000_000, 2_000_000_000
_SECOND_NS = 1_000_000_000
_CHUNK = 1 << 20
#: No longer stretch is copied at once, so that the first is under way while the others are found.
_STRETCH = 16 << 20
_LONGEST_NAME = 100
#: The kind of a file, and who may do what.
_KEPT = 0o170777
_READING = os.O_RDONLY | getattr(os, "O_BINARY", 0)
_LARGEST = 8 << 30


def unchanged(found: Sequence[Found], last: Contents) -> list[Member | None]:
    """Return for each in `found` the member of `last` that it still is; None where it may have changed.

    It may where a change after that reading began would not have shown in the file's times.
    """
    before = {os.fsencode(each.path): each for each in last.members}
    fine, coarse = last.began_ns - _TICK_NS, last.began_ns - _COARSE_TICK_NS
    same: list[Member | None] = []
    for each in found:
        member = before.get(each.path)
        if member is None or member.mode != kept_mode(each.mode):
            member = None
        elif not member.is_folder:
            changed = max(each.seen[1:3])
            if member.seen != each.seen or changed >= (fine if changed % _SECOND_NS else coarse):
                member = None
        same.append(member)
    return same


def write_tar(
    archive: IO[bytes],
    top: Path,
    found: Sequence[Found],
    *,
    same: Sequence[Member | None] = (),
    last: Tar | None = None,
    borrows: bool = False,
    began_ns: int = 0,
    tell: Callable[[int], None] = lambda size: None,
) -> Contents:
    """Write everything in `found`, and behind it what that is, which is returned, too.

    What is in `same` at the place that it has in `found` is copied from the archive `last`; with `borrows`, only what
    isn't its base's. `tell` is called with how many bytes have been written, again and again.

    Raises:
        InvalidRequest: a file can't be read, or changed while it was.
    """
    behind = WritingBehind(archive, tell)
    try:
        writing = _Writing(behind, os.fsencode(top), last, borrows=borrows)
        digest = hashlib.sha256()
        members = []
        for each, old in zip_longest(found, same):
            member = writing.copied(old) if old is not None else writing.written(each)
            members.append(member)
            digest.update(
                b"%d %d %b%b" % (member.mode, len(each.path), each.path, _digested(member))
            )
        writing.end()
        contents = Contents(
            digest=digest.hexdigest(),
            folder=str(top),
            began_ns=began_ns,
            size=writing.size,
            members=tuple(members),
            base=last.lender if borrows and last is not None else "",
            borrowed=tuple(writing.borrowed),
        )
        footer = contents.footer()  # while there is still something to be copied
        behind.end()
    finally:
        behind.close()
    archive.write(footer)
    archive.flush()
    return contents


def kept_mode(mode: int) -> int:
    """Return the kind and the permissions that travel."""
    return stat.S_IFLNK | 0o777 if stat.S_ISLNK(mode) else mode & _KEPT


class _Writing:
    """An archive under way: how long it is, and what still has to be copied into it."""

    def __init__(
        self, behind: WritingBehind, root: bytes, last: Tar | None, *, borrows: bool
    ) -> None:
        self.size = 0
        self.borrowed: list[tuple[int, int, int]] = []
        self._last = last
        self._borrows = borrows
        self._behind = behind
        self._root = root
        self._pieces: list[bytes] = []
        self._piled = 0
        self._from = 0
        self._left = 0

    def copied(self, old: Member) -> Member:
        if self._from + self._left != old.start or self._left >= _STRETCH:
            self.catch_up()
            self._from = old.start
        self._left += old.length
        self.size += old.length
        start = self.size - old.length
        return old if start == old.start else old._replace(start=start)

    def catch_up(self) -> None:
        """Have what is due copied, or borrow it."""
        if not self._left:
            return
        assert self._last is not None
        at = self.size - self._left
        for run in self._last.runs(self._from, self._left):
            if self._borrows and run.is_bases:
                self._borrow(at, run)
            else:
                self._flush()
                self._behind.copy(run)
            at += run.length
        self._left = 0

    def _borrow(self, at: int, run: Run) -> None:
        start, length, place = self.borrowed[-1] if self.borrowed else (0, 0, 0)
        if (start + length, place + length) == (at, run.place) and length:
            self.borrowed[-1] = (start, length + run.length, place)
        else:
            self.borrowed.append((at, run.length, run.place))

    def end(self) -> None:
        """Have what is still due written, and the end."""
        self.catch_up()
        self._write(END_OF_TAR)
        self._flush()

    def written(self, each: Found) -> Member:
        self.catch_up()
        path = os.fsdecode(each.path)
        start, mode = self.size, kept_mode(each.mode)
        place = self._root + b"/" + each.path
        if stat.S_ISREG(each.mode):
            what, seen = self._file(each, place)
            return Member(path, mode, what, start, self.size - start, seen)
        try:
            changed = int(os.lstat(place).st_mtime)
            target = os.readlink(place) if stat.S_ISLNK(each.mode) else b""  # noqa: PTH115  # bytes
        except OSError as error:
            raise unreadable(each.path, error) from error
        self._write(header(each.path, mode, 0, changed, target))
        return Member(path, mode, os.fsdecode(target), start, self.size - start, each.seen)

    def _file(self, each: Found, place: bytes) -> tuple[str, tuple[int, ...]]:
        try:
            file = os.open(place, _READING)
        except OSError as error:
            raise unreadable(each.path, error) from error
        try:
            before = os.fstat(file)
            self._write(
                header(each.path, kept_mode(each.mode), before.st_size, int(before.st_mtime))
            )
            content = hashlib.sha256()
            left = before.st_size
            while left:
                try:
                    chunk = os.read(file, min(left, _CHUNK))
                except OSError as error:
                    raise unreadable(each.path, error) from error
                if not chunk:
                    break
                content.update(chunk)
                self._write(chunk)
                left -= len(chunk)
            after = os.fstat(file)
        finally:
            os.close(file)
        signature = seen_of(before)
        if left or signature != seen_of(after) or not stat.S_ISREG(before.st_mode):
            raise InvalidRequest(
                {"code": f"{os.fsdecode(each.path)!r} changed while it was read"},
                hint="repeat when nothing writes there, or leave it out with a line in .flowignore",
            )
        self._write(bytes(-before.st_size % BLOCK))
        return content.hexdigest(), signature

    def _write(self, data: bytes) -> None:
        self._pieces.append(data)
        self.size += len(data)
        self._piled += len(data)
        if self._piled >= _CHUNK:
            self._flush()

    def _flush(self) -> None:
        if self._pieces:
            self._behind.write(b"".join(self._pieces))
        self._pieces, self._piled = [], 0


def header(name: bytes, mode: int, size: int, mtime: int, target: bytes = b"") -> bytes:
    """Return a member's header as GNU tar writes it; the owner is root, who is whoever unpacks."""
    kind = _KINDS[stat.S_IFMT(mode)]
    shown = name + b"/" if kind == tarfile.DIRTYPE else name
    longest = max(len(shown), len(target))
    if longest > _LONGEST_NAME or size >= _LARGEST or not 0 <= mtime < _LARGEST:
        info = tarfile.TarInfo(os.fsdecode(name))
        info.type, info.mode, info.size, info.mtime = kind, mode & 0o777, size, mtime
        info.linkname = os.fsdecode(target)
        return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
    block = b"".join(
        (
            shown.ljust(_LONGEST_NAME, b"\0"),
            b"%07o\0%07o\0%07o\0%011o\0%011o\0" % (mode & 0o777, 0, 0, size, mtime),
            b"        ",  # the sum is taken with spaces in its place
            kind,
            target.ljust(_LONGEST_NAME, b"\0"),
            b"ustar  \0",
        )
    ).ljust(BLOCK, b"\0")
    # The sum of all bytes and 1, below 65,521: both names at their longest and highest make 51,000 of it.
    total = (zlib.adler32(block) & 0xFFFF) - 1
    return b"%b%06o\0 %b" % (block[:148], total, block[156:])


_KINDS = {
    stat.S_IFREG: tarfile.REGTYPE,
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
}


def _digested(member: Member) -> bytes:
    if stat.S_ISLNK(member.mode):
        target = os.fsencode(member.what)
        return b"%d " % len(target) + target
    return bytes.fromhex(member.what)
