"""The socket of a node's first process, on which the SSH door asks it to start what its users want.

A connection is one process. It begins with a line of JSON and, without a terminal, the process's three descriptors;
the answer is a line that says it was started, with the terminal's descriptor if it has one, and another when it has
ended. In between come signals. A connection that asks for `watch` is only held: its end is the node's.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import grp
import json
import os
import pwd
import signal
import socket
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from flow_providers.mock.boot import sftp
from flow_providers.mock.boot.children import Child, Children, Start

_MOST = 1 << 20


@frozen(kw_only=True)
class Account:
    """Whose processes they are. `user` is as in `children.Start`."""

    user: tuple[int, int, tuple[int, ...]] | None
    home: str
    name: str
    shell: str
    env: Mapping[str, str]


@define(eq=False)
class Calls:
    """Answers on one listening socket. `on_hosts` takes the fellows' addresses and names when they change."""

    children: Children
    account: Account
    on_hosts: Callable[[list[tuple[str, str]]], None]
    _watches: set[asyncio.Task[None]] = field(factory=set)

    def hang_up(self) -> None:
        """Let whoever watches know that the node is about to end."""
        for each in self._watches:
            each.cancel()

    async def serve(self, listener: socket.socket) -> None:
        """Take connections for as long as the node lives."""
        loop = asyncio.get_running_loop()
        listener.setblocking(False)
        held: set[asyncio.Task[None]] = set()
        while True:
            connection, _ = await loop.sock_accept(listener)
            task = loop.create_task(self._answer(connection))
            held.add(task)
            task.add_done_callback(held.discard)

    async def _answer(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        with connection, contextlib.suppress(ConnectionError):
            line, fds = await _first_line(connection)
            try:
                asked = json.loads(line) if line else {"kind": "nothing"}
                if asked["kind"] == "watch":
                    watching = asyncio.current_task()
                    assert watching is not None
                    self._watches.add(watching)
                    watching.add_done_callback(self._watches.discard)
                    await _send(connection, {"up": True})
                    await _until_end(connection)
                elif asked["kind"] == "hosts":
                    self.on_hosts([(each[0], each[1]) for each in asked["fellows"]])
                    await _send(connection, {"done": True})
                elif asked["kind"] != "nothing":
                    await self._run(connection, asked, fds)
            finally:
                for each in fds:
                    with contextlib.suppress(OSError):
                        os.close(each)

    async def _run(self, connection: socket.socket, asked: Any, fds: list[int]) -> None:
        terminal = asked.get("terminal")
        master = None
        if terminal is not None:
            master, slave = os.openpty()
            _shape(slave, terminal)
            fds[:] = [slave]
        if len(fds) not in (1, 3):
            return
        try:
            child = self.children.start(self._start(asked, fds))
        except OSError as exc:
            if master is not None:
                os.close(master)
            await _send(connection, {"refused": exc.strerror or "it can't be started"})
            return
        finally:
            while fds:
                os.close(fds.pop())
        await _send(connection, {"started": child.pid}, fd=master)
        if master is not None:
            os.close(master)
        listening = asyncio.get_running_loop().create_task(_pass_signals(connection, child))
        status = await child.ended
        listening.cancel()
        await _send(connection, {"ended": status})

    def _start(self, asked: Any, fds: list[int]) -> Start:
        account = self._account_of(asked.get("user", ""))
        env = {**asked.get("env", {}), **account.env}
        env |= {"HOME": account.home, "USER": account.name, "LOGNAME": account.name}
        env["SHELL"] = account.shell
        three = (fds[0], fds[0], fds[0]) if len(fds) == 1 else (fds[0], fds[1], fds[2])
        if len(fds) == 1:
            env["SSH_TTY"] = os.ttyname(fds[0])
        command = asked.get("command")
        base = Path(account.shell).name
        return Start(
            command=[account.shell] if command is None else [account.shell, "-c", command],
            name=f"-{base}" if command is None else base,
            program=_sftp if asked["kind"] == "sftp" else None,
            env=env,
            folder=account.home,
            user=account.user,
            fds=three,
            terminal=len(fds) == 1,
        )

    def _account_of(self, user: str) -> Account:
        """Return the account of a user that was made on the node; without a name, the node's own.

        Raises:
            OSError: there is no such user any more.
        """
        if not user:
            return self.account
        try:
            found = pwd.getpwnam(user)
        except KeyError as error:
            raise OSError(errno.ENOENT, f"{user} is no user of this node") from error
        groups = {found.pw_gid, *(each.gr_gid for each in grp.getgrall() if user in each.gr_mem)}
        # A plain user's node has one user only, who is root within.
        own = (found.pw_uid, found.pw_gid, tuple(sorted(groups)))
        return Account(
            user=own if self.account.user is not None else None,
            home=found.pw_dir,
            name=user,
            shell=found.pw_shell or "/bin/sh",
            env=self.account.env,
        )


def _sftp() -> int:
    with os.fdopen(0, "rb", 1 << 18) as incoming, os.fdopen(1, "wb", 1 << 18) as outgoing:
        try:
            return sftp.serve(incoming, outgoing)
        except OSError:
            return 1


async def _first_line(connection: socket.socket) -> tuple[bytes, list[int]]:
    loop = asyncio.get_running_loop()
    data, fds = b"", []
    while b"\n" not in data and len(data) < _MOST:
        await _readable(loop, connection)
        try:
            more, new, _, _ = socket.recv_fds(connection, 65_536, 3)
        except BlockingIOError:
            continue
        fds += new
        if not more:
            break
        data += more
    for each in fds:
        os.set_inheritable(each, False)
    return data.partition(b"\n")[0], fds


async def _readable(loop: asyncio.AbstractEventLoop, connection: socket.socket) -> None:
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(connection, lambda: None if ready.done() else ready.set_result(None))
    try:
        await ready
    finally:
        loop.remove_reader(connection)


async def _send(connection: socket.socket, what: object, *, fd: int | None = None) -> None:
    line = json.dumps(what).encode() + b"\n"
    if fd is not None:
        # A first message on a fresh socket always fits.
        socket.send_fds(connection, [line], [fd])
    else:
        await asyncio.get_running_loop().sock_sendall(connection, line)


async def _until_end(connection: socket.socket) -> None:
    while await asyncio.get_running_loop().sock_recv(connection, 4096):
        pass


async def _pass_signals(connection: socket.socket, child: Child) -> None:
    loop = asyncio.get_running_loop()
    data = b""
    while more := await loop.sock_recv(connection, 4096):
        data += more
        *lines, data = data.split(b"\n")
        for line in lines:
            number = getattr(signal, "SIG" + json.loads(line)["signal"], None)
            if isinstance(number, signal.Signals):
                with contextlib.suppress(OSError):
                    os.killpg(child.pid, number)


def _shape(slave: int, terminal: Any) -> None:
    """Give a new terminal the size and the modes that its user's has."""
    import fcntl
    import termios

    size = struct.pack("4H", *terminal["size"])
    fcntl.ioctl(slave, termios.TIOCSWINSZ, size)
    modes = termios.tcgetattr(slave)
    for name, value in terminal["modes"].items():
        place, letter = _MODES.get(int(name), (-1, ""))
        if place < 0 or not hasattr(termios, letter):
            continue
        if place == 6:
            modes[6][getattr(termios, letter)] = bytes([value]) if value < 255 else b"\0"
        else:
            bit = getattr(termios, letter)
            modes[place] = modes[place] | bit if value else modes[place] & ~bit
    termios.tcsetattr(slave, termios.TCSANOW, modes)


def _numbered(first: int, place: int, names: str) -> dict[int, tuple[int, str]]:
    return {first + number: (place, name) for number, name in enumerate(names.split())}


#: An encoded mode's number -> where it is in termios attributes, and its name there. Source: RFC 4254, section 8.
_MODES = {
    **_numbered(1, 6, "VINTR VQUIT VERASE VKILL VEOF VEOL VEOL2 VSTART VSTOP VSUSP"),
    **_numbered(
        30,
        0,
        "IGNPAR PARMRK INPCK ISTRIP INLCR IGNCR ICRNL IUCLC IXON IXANY IXOFF IMAXBEL IUTF8",
    ),
    **_numbered(
        50,
        3,
        "ISIG ICANON XCASE ECHO ECHOE ECHOK ECHONL NOFLSH TOSTOP IEXTEN ECHOCTL ECHOKE PENDIN",
    ),
    **_numbered(70, 1, "OPOST OLCUC ONLCR OCRNL ONOCR ONLRET"),
}
