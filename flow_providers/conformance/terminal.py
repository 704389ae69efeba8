"""A terminal to test with: a call runs as if a person sat before it. POSIX only."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def at_terminal(call: Callable[[], int], *, typed: bytes = b"") -> tuple[int, bytes]:
    """Return what `call` returns, run with this process's terminal a new one, and what it showed there.

    `typed` is what the person types, all at once.
    """
    import pty

    person, terminal = pty.openpty()
    shown = bytearray()
    reader = threading.Thread(target=_collect, args=(person, shown), daemon=True)
    reader.start()
    os.write(person, typed)
    with _before(terminal):
        code = call()
    os.close(terminal)
    reader.join(timeout=10)
    os.close(person)
    return code, bytes(shown)


@contextmanager
def _before(terminal: int) -> Iterator[None]:
    """Put `terminal` in the place of the three standard streams, and put those back afterwards."""
    held = (sys.stdin, sys.stdout, sys.stderr)
    saved = [os.dup(number) for number in (0, 1, 2)]
    for number in (0, 1, 2):
        os.dup2(terminal, number)
    streams = (
        os.fdopen(0, closefd=False),
        os.fdopen(1, "w", closefd=False),
        os.fdopen(2, "w", closefd=False),
    )
    sys.stdin, sys.stdout, sys.stderr = streams
    try:
        yield
    finally:
        for stream in streams[1:]:
            stream.flush()
        sys.stdin, sys.stdout, sys.stderr = held
        for number, old in enumerate(saved):
            os.dup2(old, number)
            os.close(old)


def _collect(person: int, shown: bytearray) -> None:
    """Read all that is shown; the end of a terminal is an error on Linux, and nothing on macOS."""
    while True:
        try:
            data = os.read(person, 4096)
        except OSError:
            return
        if not data:
            return
        shown += data
