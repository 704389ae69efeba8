"""An archive that a thread writes, so that whoever reads files for it goes on meanwhile."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from typing import IO

from flow_adapters.archives import Run
from flow_core.errors import InvalidRequest

_CHUNK = 1 << 20
#: How many pieces may wait, each of some megabytes.
_MOST_WAITING = 8


class WritingBehind:
    """Writes what it is given to `archive`, in order: bytes, and stretches of other files.

    `tell` is called, in the thread, with how many bytes can be read. What goes wrong there is raised by the next call.
    """

    def __init__(self, archive: IO[bytes], tell: Callable[[int], None]) -> None:
        self._archive = archive
        self._tell = tell
        self._written = 0
        self._due: queue.Queue[bytes | Run | None] = queue.Queue(_MOST_WAITING)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="flow-archive")
        self._thread.start()

    def write(self, data: bytes) -> None:
        """Write bytes."""
        self._put(data)

    def copy(self, run: Run) -> None:
        """Write bytes that lie in another file."""
        self._put(run)

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

    def _put(self, piece: bytes | Run) -> None:
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
                    copy(piece, self._archive)
                    self._written += piece.length
                self._archive.flush()
                self._tell(self._written)
            except BaseException as error:  # noqa: BLE001  (raised to who writes)
                self._error = error


def copy(run: Run, archive: IO[bytes]) -> None:
    """Write bytes that lie in another file to `archive`, which holds nothing back yet.

    Raises:
        InvalidRequest: they don't.
    """
    place, left = run.place, run.length
    quickly = getattr(os, "copy_file_range", None)
    while left and quickly is not None:
        try:
            done = quickly(run.source.fileno(), archive.fileno(), left, place)
        except OSError:
            break  # not between these file systems
        place, left = place + done, left - done
        if not done:
            break
    run.source.seek(place)
    while left and (data := run.source.read(min(left, _CHUNK))):
        archive.write(data)
        left -= len(data)
    if left:
        raise InvalidRequest({"code": "the last snapshot was cut short; submit again"})
