"""The caller's own terminal on a node, without OpenSSH's client: raw keys there, bytes back, its size as it changes."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from flow_adapters.lean_asyncssh import asyncssh
from flow_adapters.ssh.connections import Connections
from flow_adapters.ssh.reasons import Lost
from flow_adapters.ssh.session import SIGNALS
from flow_adapters.ssh.targets import Target

_PIECE = 64 << 10
#: Columns and lines where nobody says.
_USUAL = os.terminal_size((80, 24))


async def attended(
    connections: Connections, target: Target, line: str, *, has_terminal: bool, term: str
) -> int:
    """Connect this process's terminal, or its plain streams, to `line` on the node; return the exit code.

    Raises:
        Lost: the node gave no answer, or its end was not heard.
    """
    loop = asyncio.get_running_loop()
    async with connections.link(target) as link:
        size = _size()
        process = await link.connection.create_process(
            line,
            encoding=None,
            request_pty="force" if has_terminal else False,
            term_type=term if has_terminal else None,
            term_size=(size.columns, size.lines),
            stderr=asyncssh.STDOUT if has_terminal else asyncssh.PIPE,
        )
        pouring = [asyncio.ensure_future(_pour(process.stdout, 1))]
        if not has_terminal:
            pouring.append(asyncio.ensure_future(_pour(process.stderr, 2)))
        with _keys(loop, process), _sizes(loop, process, wanted=has_terminal):
            await asyncio.wait(pouring)
            await process.wait_closed()
    signal = process.exit_signal
    if signal is not None:
        return 128 + SIGNALS.get(signal[0], 0)
    if process.exit_status is None:
        raise Lost(f"the connection to {target.where} was lost before the end was heard")
    return process.exit_status


@contextmanager
def raw_terminal() -> Iterator[None]:
    """While entered, keys reach the node untouched, Ctrl-C too; nothing changes where there is no terminal."""
    if not os.isatty(0) or sys.platform == "win32":
        yield
        return
    import termios
    import tty

    before = termios.tcgetattr(0)
    tty.setraw(0, termios.TCSADRAIN)  # what was typed ahead stays
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


@contextmanager
def _keys(
    loop: asyncio.AbstractEventLoop, process: asyncssh.SSHClientProcess[bytes]
) -> Iterator[None]:
    def send() -> None:
        data = os.read(0, _PIECE)
        try:
            if data:
                process.stdin.write(data)
                return
            process.stdin.write_eof()
        except BrokenPipeError:
            pass
        loop.remove_reader(0)

    loop.add_reader(0, send)
    try:
        yield
    finally:
        loop.remove_reader(0)


@contextmanager
def _sizes(
    loop: asyncio.AbstractEventLoop, process: asyncssh.SSHClientProcess[bytes], *, wanted: bool
) -> Iterator[None]:
    """Tell the node when the window changed; looked at twice a second, since signals reach only the main thread."""
    timer: list[asyncio.TimerHandle] = []

    def look(before: os.terminal_size) -> None:
        now = _size(before)
        if now != before:
            process.change_terminal_size(now.columns, now.lines)
        timer[:] = [loop.call_later(0.5, look, now)]

    if wanted:
        look(_size())
    try:
        yield
    finally:
        for each in timer:
            each.cancel()


def _size(otherwise: os.terminal_size = _USUAL) -> os.terminal_size:
    """Ask the terminal itself: the variables that may tell a size too are not told of a change."""
    try:
        return os.get_terminal_size(0)
    except OSError:
        return otherwise


async def _pour(source: asyncssh.SSHReader[bytes], goal: int) -> None:
    while data := await source.read(_PIECE):
        while data:
            data = data[os.write(goal, data) :]
