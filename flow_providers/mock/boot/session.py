"""One SSH session of a node: an SSH channel on one side, a process of the node's on the other.

Output is read only as fast as the client takes it, and input only as fast as the process does. The channel ends when
both the process has and all it wrote was sent: what an SSH client shows last is often what matters.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import asyncssh

from flow_providers.mock.boot.machine import socket_name

_CHUNK = 256 * 1024
_PIPE_BYTES = 1 << 20
#: Seconds that a terminal is read for after its process has ended, should something keep it open.
_LAST_WORDS_S = 2.0
_MOST_LINE = 1 << 20


class NodeSession(asyncssh.SSHServerSession[bytes]):
    """A command, a shell or a file transfer on the node in `folder`; `env` is what it is told of its connection.

    `user` is whose it is, where that is somebody whom the node's own users have made.
    """

    def __init__(self, folder: Path, env: Mapping[str, str], *, user: str = "") -> None:
        self._folder = folder
        self._env = env
        self._asked: dict[str, Any] = {"kind": "exec", **({"user": user} if user else {})}
        self._terminal: dict[str, Any] | None = None
        self._loop = asyncio.get_running_loop()
        self._connection: socket.socket | None = None
        self._work: asyncio.Task[None] | None = None
        self._pump: _Pump | None = None

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        """See asyncssh."""
        self._chan = chan

    def pty_requested(
        self, term_type: str, term_size: tuple[int, int, int, int], term_modes: Mapping[int, int]
    ) -> bool:
        """See asyncssh."""
        width, height, wide, high = term_size
        self._terminal = {"size": [height, width, wide, high], "modes": dict(term_modes)}
        self._env = {**self._env, "TERM": term_type}
        return True

    def shell_requested(self) -> bool:
        """See asyncssh."""
        return True

    def exec_requested(self, command: str) -> bool:
        """See asyncssh."""
        self._asked["command"] = command
        return True

    def subsystem_requested(self, subsystem: str) -> bool:
        """See asyncssh."""
        self._asked["kind"] = "sftp"
        return subsystem == "sftp"

    def session_started(self) -> None:
        """See asyncssh."""
        self._pump = _Pump(self._loop, self._chan)
        self._work = self._loop.create_task(self._run(self._pump))

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        """See asyncssh."""
        if self._pump is not None:
            self._pump.take(data)

    def eof_received(self) -> bool:
        """See asyncssh."""
        if self._pump is not None:
            self._pump.take_end()
        return True

    def pause_writing(self) -> None:
        """See asyncssh."""
        if self._pump is not None:
            self._pump.hold()

    def resume_writing(self) -> None:
        """See asyncssh."""
        if self._pump is not None:
            self._pump.go_on()

    def terminal_size_changed(self, width: int, height: int, pixwidth: int, pixheight: int) -> None:
        """See asyncssh."""
        if self._pump is not None:
            self._pump.resize(struct.pack("4H", height, width, pixwidth, pixheight))

    def signal_received(self, signal: str) -> None:
        """See asyncssh."""
        self._tell(signal)

    def break_received(self, msec: int) -> bool:
        """See asyncssh."""
        self._tell("INT")
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncssh."""
        if self._work is not None:
            self._work.cancel()
        if self._pump is not None:
            self._pump.close()

    def _tell(self, name: str) -> None:
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.send(json.dumps({"signal": name}).encode() + b"\n")

    async def _run(self, pump: _Pump) -> None:
        asked = {**self._asked, "env": {**_sent(self._chan), **self._env}}
        if self._terminal is not None:
            asked["terminal"] = self._terminal
        try:
            with connected(self._folder) as connection:
                self._connection = connection
                status = await self._talk(connection, asked, pump)
        except OSError:
            # The node is gone, and with it the connection soon.
            self._chan.exit(255)
            return
        finally:
            self._connection = None
        if status is None:
            return
        with contextlib.suppress(asyncio.TimeoutError):
            limit = _LAST_WORDS_S if self._terminal is not None else None
            await asyncio.wait_for(asyncio.shield(pump.all_read), limit)
        if os.WIFSIGNALED(status):
            name = signal.Signals(os.WTERMSIG(status)).name.removeprefix("SIG")
            self._chan.exit_with_signal(name, os.WCOREDUMP(status))
        else:
            self._chan.exit(os.WEXITSTATUS(status))

    async def _talk(
        self, connection: socket.socket, asked: dict[str, Any], pump: _Pump
    ) -> int | None:
        """Have the process started; return its wait status when it has ended, None if there never was one."""
        theirs: list[int] = [] if self._terminal is not None else pump.open_pipes()
        line = json.dumps(asked).encode() + b"\n"
        try:
            await _send(self._loop, connection, line, theirs)
        finally:
            for each in theirs:
                os.close(each)
        reader = _Lines(self._loop, connection)
        answer, fds = await reader.line()
        if "started" not in answer:
            self._chan.write_stderr(f"{answer.get('refused', 'the node refuses')}\n".encode())
            self._chan.exit(126)
            return None
        if fds:
            pump.open_terminal(fds[0])
        pump.begin()
        ended, _ = await reader.line()
        if "ended" not in ended:
            raise ConnectionResetError
        return int(ended["ended"])


class _Pump:
    """Moves bytes between a channel and a process's descriptors."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, chan: asyncssh.SSHServerChannel[bytes]
    ) -> None:
        self.all_read: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._chan = chan
        self._outputs: dict[int, int | None] = {}
        self._input = -1
        self._waiting = bytearray()
        self._is_ended = False
        self._is_terminal = False
        self._is_shut = False

    def open_pipes(self) -> list[int]:
        """Make three pipes; return the process's ends."""
        import fcntl

        there, self._input = os.pipe()
        out, out_there = os.pipe()
        err, err_there = os.pipe()
        for each in (self._input, out, err):
            os.set_blocking(each, False)
            with contextlib.suppress(OSError, AttributeError):
                fcntl.fcntl(each, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)  # type: ignore[attr-defined,unused-ignore]
        self._outputs = {out: None, err: asyncssh.EXTENDED_DATA_STDERR}
        return [there, out_there, err_there]

    def open_terminal(self, master: int) -> None:
        """Use a terminal for both directions."""
        os.set_blocking(master, False)
        self._is_terminal = True
        self._input = master
        self._outputs = {master: None}

    def begin(self) -> None:
        """Move bytes from now on, those that came before included."""
        self.go_on()
        self._feed()

    def hold(self) -> None:
        """Read nothing from the process for now."""
        for each in self._outputs:
            self._loop.remove_reader(each)

    def go_on(self) -> None:
        """Read from the process again."""
        for each in self._outputs:
            self._loop.add_reader(each, self._read, each)

    def take(self, data: bytes) -> None:
        """Give the process input; where it doesn't take it, the client waits."""
        if self._is_shut:
            return
        self._waiting += data
        if self._input >= 0:
            self._feed()
        elif len(self._waiting) > _CHUNK:
            self._chan.pause_reading()

    def take_end(self) -> None:
        """Close the process's input behind what still waits."""
        self._is_ended = True
        if self._input >= 0:
            self._feed()

    def resize(self, size: bytes) -> None:
        """Give the terminal a size; the kernel tells the programs on it."""
        import fcntl
        import termios

        if self._is_terminal and self._input >= 0:
            with contextlib.suppress(OSError):
                fcntl.ioctl(self._input, termios.TIOCSWINSZ, size)

    def close(self) -> None:
        """Let go of everything; a terminal's programs are hung up."""
        for each in [*self._outputs]:
            self._drop(each)
        self._close_input()

    def _read(self, pipe: int) -> None:
        try:
            data = os.read(pipe, _CHUNK)
        except BlockingIOError:
            return
        except OSError:
            # A terminal that nobody has open any more says so in this way.
            data = b""
        if not data:
            self._drop(pipe)
        else:
            self._chan.write(data, self._outputs[pipe])

    def _drop(self, pipe: int) -> None:
        self._loop.remove_reader(pipe)
        self._outputs.pop(pipe, None)
        if not self._is_terminal:
            os.close(pipe)
        if not self._outputs and not self.all_read.done():
            self.all_read.set_result(None)

    def _feed(self) -> None:
        if self._input < 0:
            return
        try:
            while self._waiting:
                written = os.write(self._input, memoryview(self._waiting)[:_CHUNK])
                del self._waiting[:written]
        except BlockingIOError:
            self._chan.pause_reading()
            self._loop.add_writer(self._input, self._feed)
            return
        except OSError:
            # The process doesn't want the rest.
            self._waiting.clear()
        self._loop.remove_writer(self._input)
        if not self._is_ended:
            # The last step: it may bring more input, and its end, before it returns.
            self._chan.resume_reading()
        elif self._is_terminal:
            self._is_ended = False
            with contextlib.suppress(OSError):
                os.write(self._input, b"\x04")
        else:
            self._close_input()

    def _close_input(self) -> None:
        self._is_shut = True
        if self._input < 0:
            return
        self._loop.remove_writer(self._input)
        os.close(self._input)
        self._input = -1


class _Lines:
    """What a node's first process says, line by line, with the descriptors that came along."""

    def __init__(self, loop: asyncio.AbstractEventLoop, connection: socket.socket) -> None:
        self._loop = loop
        self._connection = connection
        self._data = b""
        self._fds: list[int] = []

    async def line(self) -> tuple[dict[str, Any], list[int]]:
        while b"\n" not in self._data:
            await _ready(
                self._loop, self._connection, self._loop.add_reader, self._loop.remove_reader
            )
            try:
                more, fds, _, _ = socket.recv_fds(self._connection, 65_536, 1)
            except BlockingIOError:
                continue
            self._fds += fds
            if not more:
                return {}, []
            self._data += more
        line, _, self._data = self._data.partition(b"\n")
        fds, self._fds = self._fds, []
        return json.loads(line), fds


def connected(folder: Path) -> socket.socket:
    """Return a connection to the first process of the node in `folder`; raises OSError where none listens."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        with socket_name(folder) as name:
            connection.connect(name)
    except OSError:
        connection.close()
        raise
    connection.setblocking(False)
    return connection


async def _send(
    loop: asyncio.AbstractEventLoop, connection: socket.socket, line: bytes, fds: list[int]
) -> None:
    if fds:
        sent = socket.send_fds(connection, [line[:_CHUNK]], fds)
        line = line[sent:]
    await loop.sock_sendall(connection, line)


async def _ready(
    loop: asyncio.AbstractEventLoop,
    connection: socket.socket,
    add: Callable[..., None],
    remove: Callable[[Any], Any],
) -> None:
    ready: asyncio.Future[None] = loop.create_future()
    add(connection, lambda: None if ready.done() else ready.set_result(None))
    try:
        await ready
    finally:
        remove(connection)


def _sent(chan: asyncssh.SSHServerChannel[bytes]) -> dict[str, str]:
    """Return what the client sends of its environment and a node takes."""
    found = {}
    for name, value in chan.get_environment().items():
        if name == "LANG" or name.startswith("LC_"):
            found[name] = value
    return found
