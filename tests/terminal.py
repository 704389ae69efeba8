"""A process under a terminal of its own, which a test reads and types at."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from attrs import define


@define
class Terminal:
    """A process under a terminal of its own, and all that it has written."""

    process: subprocess.Popen[bytes]
    master: int
    written: bytes = b""

    def until(self, text: bytes, *, tries: int = 200) -> bytes:
        """Read until `text` has come since the last call, and return what came."""
        came = b""
        for _ in range(tries):
            if select.select([self.master], [], [], 0.1)[0]:
                try:
                    came += os.read(self.master, 1 << 16)
                except OSError:  # its other end is closed
                    break
            if text in came:
                self.written += came
                return came
        raise AssertionError(f"{text!r} never came; {came[-2000:]!r} did")

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self.master, keys)

    def resize(self, width: int, height: int) -> None:
        """Change the terminal's size, and tell the process as terminals do."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        self.process.send_signal(signal.SIGWINCH)


@contextmanager
def at_terminal(
    words: Sequence[str | Path], *, env: Mapping[str, str], width: int = 80
) -> Iterator[Terminal]:
    """A command on a terminal of 24 lines, which is gone afterwards."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    process = subprocess.Popen(
        words, env=env, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
    )
    os.close(slave)
    try:
        yield Terminal(process, master)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(20)
        os.close(master)
