"""A snapshot that is taken by a thread, and may be read while it is written."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from flow_adapters.archives import opened
from flow_adapters.contents import read_contents
from flow_core.domain.code import Bundle

_PIECE = 256 << 10
#: Takes the path of the archive that is begun, if it is a tar from its beginning; returns what is to be told how many
#: bytes of it can be read.
Begun = Callable[[Path | None], Callable[[int], None]]
Pack = Callable[[Begun, Callable[[], bool]], Bundle]


class Stopped(Exception):
    """Nobody wants the snapshot any more."""


class PackingAhead:
    """Implements `ports.code.Packing` by calling `pack` in a thread of its own, which begins at once.

    It is also given what tells whether the archive may borrow: until somebody waits for a tar. `fill` returns a
    snapshot with a tar as its archive, whatever the one that it is given has.
    """

    def __init__(self, pack: Pack, fill: Callable[[Bundle], Bundle] = lambda taken: taken) -> None:
        self._fill = fill
        self._changed = threading.Condition()
        self._archive: Path | None = None
        self._size = 0
        self._bundle: Bundle | None = None
        self._error: BaseException | None = None
        self.is_stopped = False
        self._is_tar_awaited = False
        self._thread = threading.Thread(target=self._run, args=(pack,), name="flow-packing")
        self._thread.start()

    def done(self) -> Bundle:
        """See `Packing.done`."""
        self._is_tar_awaited = True
        return self._fill(self.taken())

    def taken(self) -> Bundle:
        """See `Packing.taken`."""
        self._thread.join()
        if self._bundle is None:
            raise self._error or Stopped
        return self._bundle

    @property
    def is_done(self) -> bool:
        """See `Packing.is_done`."""
        return self._bundle is not None

    def pieces(self) -> Iterator[bytes]:
        """See `Packing.pieces`; where a file that is open can't be moved, or one borrows, they come when it is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._archive is not None or self._is_over)
        with self._opened() as file:
            place = 0
            while place < (size := self._size_past(place)):
                while place < size and (data := file.read(min(_PIECE, size - place))):
                    yield data
                    place += len(data)

    def close(self) -> None:
        """See `Packing.close`."""
        self.is_stopped = True
        self._thread.join()

    @property
    def _is_over(self) -> bool:
        return self._bundle is not None or self._error is not None

    def _opened(self) -> IO[bytes]:
        if self._archive is not None:
            with suppress(FileNotFoundError):  # it has been moved to its place
                return self._archive.open("rb")
        archive = Path(self.taken().location)
        contents = read_contents(archive)
        self._size = contents.size if contents is not None else 0
        return opened(archive)

    def _size_past(self, place: int) -> int:
        """Wait until more than `place` can be read, or there is no more; return how much can be."""
        with self._changed:
            self._changed.wait_for(lambda: self._size > place or self._is_over)
        if self._size <= place:
            self.taken()
        return self._size

    def _run(self, pack: Pack) -> None:
        try:
            bundle = pack(self._begun, lambda: not self._is_tar_awaited)
        except BaseException as error:  # noqa: BLE001  (raised to who waits)
            self._error = error
        else:
            self._bundle = bundle
        with self._changed:
            self._changed.notify_all()

    def _begun(self, archive: Path | None) -> Callable[[int], None]:
        if archive is not None and sys.platform != "win32":
            with self._changed:
                self._archive = archive
                self._changed.notify_all()
        return self._told

    def _told(self, size: int) -> None:
        if self.is_stopped:
            raise Stopped
        if self._archive is not None:
            with self._changed:
                self._size = size
                self._changed.notify_all()
