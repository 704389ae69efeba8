"""An archive that a thread writes, so that whoever reads files for it goes on meanwhile."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from typing import IO

from flow_core.errors import InvalidRequest

_CHUNK = 1 << 20
#: How many pieces may wait, each of some megabytes.
_MOST_WAITING = 8


class WritingBehind:
    """Writes what it is given to `archive`, in order: bytes, and stretches of the archive `last`.

    `tell` is called, in the thread, with how many bytes can be read. What goes wrong there is raised by the next call.
    """

    def __init__(
        self, archive: IO[bytes], last: IO[bytes] | None, tell: Callable[[int], None]
    ) -> None:
        self._archive = archive
        self._last = last
        self._tell = tell
        self._written = 0
        self._due: queue.Queue[bytes | tuple[int, int] | None] = queue.Queue(_MOST_WAITING)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="flow-archive")
        self._thread.start()

    def write(self, data: bytes) -> None:
        """Write bytes."""
        self._put(data)

    def copy(self, start: int, length: int) -> None:
        """Write `length` bytes of the last archive, from `start`."""
        self._put((start, length))

    def end(self) -> None:
        """Return once all is written."""
        self.close()
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Return once nothing is written any more."""
        if self._thread.is_alive():
            self._due.put(None)
            self._thread.join()

    def _put(self, piece: bytes | tuple[int, int]) -> None:
        if self._error is not None:
            raise self._error
        self._due.put(piece)

    def _run(self) -> None:
        while (piece := self._due.get()) is not None:
            if self._error is not None:
                continue
            try:
                if isinstance(piece, bytes):
                    self._archive.write(piece)
                    self._written += len(piece)
                else:
                    self._copied(*piece)
                self._archive.flush()
                self._tell(self._written)
            except BaseException as error:  # noqa: BLE001  (raised to who writes)
                self._error = error

    def _copied(self, place: int, left: int) -> None:
        assert self._last is not None
        source, target = self._last.fileno(), self._archive.fileno()
        self._written += left
        copy = getattr(os, "copy_file_range", None)
        while left and copy is not None:
            try:
                done = copy(source, target, left, place)
            except OSError:
                break  # not between these file systems
            place, left = place + done, left - done
            if not done:
                break
        while left and (data := os.pread(source, min(left, _CHUNK), place)):
            self._archive.write(data)
            place, left = place + len(data), left - len(data)
        if left:
            raise InvalidRequest({"code": "the last snapshot was cut short; submit again"})
