"""This command's standard input for one node or for many, never held in memory.

One reader has the stream itself, and so the stream waits for it. Several would all wait for the slowest of them; so
what comes is put into a file without a name, out of which each reads at its own pace. A stream that is a file already
is read where it lies. The disk must have room for what comes.
"""

from __future__ import annotations

import os
import stat
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

PIECE = 256 << 10


def standard_input() -> int:
    """Return the number of this process's standard input."""
    return sys.stdin.fileno()


class SharedInput:
    """The stream with the number `descriptor`, for so many `readers`; `folder` has room for what comes."""

    def __init__(self, descriptor: int, *, readers: int, folder: Path) -> None:
        self._descriptor = descriptor
        self._readers = readers
        self._folder = folder
        self._news = threading.Condition()
        self._file: IO[bytes] | None = None
        self._begin = 0
        self._size = 0
        self._is_whole = False
        self._trouble: OSError | None = None

    def pieces(self) -> Iterator[bytes]:
        """Yield the whole stream from where it was; `readers` may call this once each, in threads of their own.

        Raises:
            OSError: the stream can't be read, or what it brought can't be kept.
        """
        if self._readers == 1:
            while piece := os.read(self._descriptor, PIECE):
                yield piece
            return
        self._opened()
        offset = self._begin
        while True:
            with self._news:
                while offset == self._size and not self._is_whole:
                    self._news.wait()
                if self._trouble is not None:
                    raise self._trouble
                assert self._file is not None
                self._file.seek(offset)
                piece = self._file.read(min(PIECE, self._size - offset))
            if not piece:
                return
            offset += len(piece)
            yield piece

    def _opened(self) -> None:
        with self._news:
            if self._file is not None:
                return
            there = os.fstat(self._descriptor)
            if stat.S_ISREG(there.st_mode):
                self._begin = os.lseek(self._descriptor, 0, os.SEEK_CUR)
                self._file = os.fdopen(os.dup(self._descriptor), "rb", buffering=0)
                self._size, self._is_whole = max(there.st_size, self._begin), True
                return
            self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115
            # A daemon, since nothing but the stream's own end makes it end.
            threading.Thread(target=self._collect, name="flow-stdin", daemon=True).start()

    def _collect(self) -> None:
        assert self._file is not None
        try:
            while piece := os.read(self._descriptor, PIECE):
                with self._news:
                    self._file.seek(self._size)
                    left = memoryview(piece)
                    while left:
                        left = left[self._file.write(left) :]
                    self._size += len(piece)
                    self._news.notify_all()
        except OSError as error:
            self._trouble = error
        with self._news:
            self._is_whole = True
            self._news.notify_all()
