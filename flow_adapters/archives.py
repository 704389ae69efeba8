"""The archives of a store of snapshots, as one tar each, whether one lies in a file or borrows from another.

One that borrows holds what differs from its base alone, and its base lies beside it under a name of its own: a hard
link, so that neither depends on whether the snapshot that the base was taken of is still kept. A base never borrows.
"""

from __future__ import annotations

import io
import os
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import IO, NamedTuple

from flow_adapters.contents import Contents, has_end, read_contents

WHOLE, BORROWS, BASE = ".tar", ".part", ".base"


def archives_in(store: Path) -> list[Path]:
    """Return the archives in a store's folder; of one snapshot, whole ones come first."""
    return [*store.glob(f"*{WHOLE}"), *store.glob(f"*{BORROWS}")]


def base_of(archive: Path, contents: Contents) -> Path:
    """Return where the base lies that `archive` borrows from."""
    return archive.with_name(f"{contents.digest}.{contents.base}{BASE}")


def is_whole(archive: Path) -> bool:
    """Whether `archive` is there, ends as one that was written to its end, and so does what it borrows from."""
    with suppress(FileNotFoundError):
        if archive.suffix != BORROWS:
            return has_end(archive)
        contents = read_contents(archive)
        return contents is not None and has_end(base_of(archive, contents))
    return False


def opened(archive: Path) -> IO[bytes]:
    """Open an archive as the tar that it is; behind its end there may be more.

    Raises:
        OSError: it isn't there, or what it borrows from isn't.
    """
    contents = read_contents(archive) if archive.suffix == BORROWS else None
    if contents is None:
        return archive.open("rb")
    return io.BufferedReader(Tar(archive, contents))


class Run(NamedTuple):
    """Bytes of a tar that lie in a row: in which file, from where, how many, and whether a base's."""

    source: FileIO
    place: int
    length: int
    is_bases: bool


class Tar(io.RawIOBase):
    """The tar that an archive with these contents is, to be read from anywhere.

    Raises:
        OSError: it isn't there, or what it borrows from isn't.
    """

    def __init__(self, archive: Path, contents: Contents) -> None:
        self.base = base_of(archive, contents) if contents.base else archive
        #: Whose digest is the base's.
        self.lender = contents.base or contents.digest
        self.size = contents.size
        self._at = 0
        self._own = archive.open("rb", buffering=0)
        try:
            self._lent = self.base.open("rb", buffering=0) if contents.base else self._own
        except OSError:
            self._own.close()
            raise
        self._starts: list[int] = []
        self._runs: list[tuple[int, bool]] = []
        borrowed = contents.borrowed if contents.base else ((0, contents.size, 0),)
        #: How many bytes aren't the base's.
        self.own_size = self._laid_out(borrowed)

    @property
    def base_size(self) -> int:
        """How many bytes the base's file has."""
        return os.fstat(self._lent.fileno()).st_size

    def runs(self, start: int, length: int) -> Iterator[Run]:
        """Yield where `length` bytes from `start` lie, none beyond the end."""
        end = min(start + length, self.size)
        number = bisect_right(self._starts, start) - 1
        while start < end:
            until = self._starts[number + 1] if number + 1 < len(self._starts) else self.size
            place, is_bases = self._runs[number]
            long = min(until, end) - start
            source = self._lent if is_bases else self._own
            yield Run(source, place + start - self._starts[number], long, is_bases)
            start, number = start + long, number + 1

    def lends(self, place: Path) -> bool:
        """Make `place` another name of the base; return whether that can be done here."""
        try:
            place.hardlink_to(self.base)
        except OSError:
            return False
        return os.path.samestat(place.stat(), os.fstat(self._lent.fileno()))

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """See `io.IOBase.seek`."""
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}[whence]
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """See `io.RawIOBase.readinto`."""
        for run in self.runs(self._at, len(buffer)):
            run.source.seek(run.place)
            count = run.source.readinto(memoryview(buffer)[: run.length])
            self._at += count
            return count
        return 0

    def close(self) -> None:
        """Close what is open."""
        self._own.close()
        self._lent.close()
        super().close()

    def _laid_out(self, borrowed: Iterable[tuple[int, int, int]]) -> int:
        """Note where each run begins; return how many bytes are the archive's own."""
        at = own = 0
        for start, length, place in borrowed:
            if at < start:
                self._note(at, own, is_bases=False)
                own += start - at
            self._note(start, place, is_bases=True)
            at = start + length
        if at < self.size:
            self._note(at, own, is_bases=False)
            own += self.size - at
        return own

    def _note(self, start: int, place: int, *, is_bases: bool) -> None:
        self._starts.append(start)
        self._runs.append((place, is_bases))
