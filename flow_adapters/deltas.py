"""What is sent of a snapshot to a place that holds an earlier one: the stretches of the archive that it lacks."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from attrs import frozen

from flow_adapters.archives import archives_in
from flow_adapters.contents import END_OF_TAR, Contents, changed, read_contents, stretches

_PIECE = 256 << 10


@frozen
class Delta:
    """Stretches of an archive, then a tar's end unless they have it; `gone` are paths that the place has too many.

    Unless it `completes` what is there, it is all of the snapshot.
    """

    stretches: tuple[tuple[int, int], ...]
    gone: tuple[str, ...] = ()
    completes: bool = False

    @property
    def size(self) -> int:
        """How many bytes that is."""
        return sum(long for _, long in self.stretches) + self.completes * len(END_OF_TAR)

    @property
    def head(self) -> dict[str, object]:
        """What the place is told before the bytes come."""
        return {"size": self.size, "complete": self.completes, "gone": self.gone}

    def pieces(self, archive: IO[bytes]) -> Iterator[bytes]:
        """Yield the bytes, none longer than 256 KiB."""
        for start, length in self.stretches:
            archive.seek(start)
            left = length
            while left and (piece := archive.read(min(left, _PIECE))):
                yield piece
                left -= len(piece)
        if self.completes:
            yield END_OF_TAR


class Deltas:
    """What the snapshot in `archive` is beside those that lie in the same folder; each is read once."""

    def __init__(self, archive: Path) -> None:
        self.archive = archive
        self._contents: dict[Path, Contents | None] = {}

    def foresee(self) -> None:
        """Read what `since` is likely to need, while its answer isn't wanted yet: this snapshot and the one before."""
        with suppress(OSError):
            self._read(self.archive)
            others = (path for path in archives_in(self.archive.parent) if path != self.archive)
            self._read(max(others, key=lambda path: path.stat().st_mtime_ns, default=self.archive))

    def since(self, has: str, dirty: Collection[str]) -> Delta:
        """Return what to send to a place with the snapshot `has`, but for the paths `dirty`; "" is none.

        Raises:
            FileNotFoundError: the archive isn't there.
        """
        new = self._read(self.archive)
        old = self._earlier(has) if has and new is not None else None
        if new is None:
            return Delta(((0, self.archive.stat().st_size),))
        if old is None:
            return Delta(((0, new.size),))
        members, gone = changed(new, old, dirty)
        return Delta(tuple(stretches(members)), tuple(gone), completes=True)

    def _earlier(self, digest: str) -> Contents | None:
        for path in archives_in(self.archive.parent):
            if path.name.startswith(digest + "."):
                return self._read(path)
        return None

    def _read(self, archive: Path) -> Contents | None:
        if archive not in self._contents:
            self._contents[archive] = read_contents(archive)
        return self._contents[archive]
