"""The SSH door of all nodes: one listener each, all in one loop in a thread of its own.

A node's listener is there while its first process is: before, and after, a connection is refused, as that of a machine
that boots. Connections end with the node. The server lives with the simulator, not with the nodes: those that outlive
a simulator are reached again once another one opens its door.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import asyncssh
from attrs import define, field

from flow_core.domain.allocation import Address
from flow_providers.mock.boot.addresses import bound_at
from flow_providers.mock.boot.session import NodeSession, connected

#: Real seconds between two looks whether a node's first process is there.
_LOOK_S = 0.02
_USER = "ubuntu"
_CLOSING_S = 5.0
#: Users from this number on are people. Source: login.defs(5), UID_MIN.
_FIRST_PERSON = 1000
#: Options of a key may have spaces within quotes. Source: sshd(8), AUTHORIZED_KEYS FILE FORMAT.
_WORD = re.compile(r'(?:"(?:\\"|[^"])*"|[^\s"])+')


@define(eq=False)
class Door:
    """Listens for nodes; every method may be called from any thread."""

    _loop: asyncio.AbstractEventLoop | None = None
    _thread: threading.Thread | None = None
    _attending: dict[str, asyncio.Task[None]] = field(factory=dict)

    @property
    def is_open(self) -> bool:
        """Whether nodes are attended to."""
        return self._loop is not None

    def open(self) -> None:
        """Start the thread, unless it runs."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
            self._thread.start()

    def close(self) -> None:
        """End every listener and connection, and the thread; the nodes go on."""
        loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        asyncio.run_coroutine_threadsafe(self._leave(), loop).result(_CLOSING_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_CLOSING_S)
        loop.close()
        self._loop = self._thread = None

    def attend(
        self, node_id: str, folder: Path, held: socket.socket, address: Address, host_key: bytes
    ) -> None:
        """Serve a node at the bound socket `held` whenever it is up, until it is let go."""
        assert self._loop is not None, "the door is closed"
        self._loop.call_soon_threadsafe(self._begin, node_id, folder, held, address, host_key)

    def tell_hosts(self, folder: Path, fellows: list[tuple[str, str]]) -> None:
        """Tell the first process of the node in `folder` its fellows; one that isn't there reads them when it is."""
        with contextlib.suppress(OSError), connected(folder) as first:
            first.sendall(json.dumps({"kind": "hosts", "fellows": fellows}).encode() + b"\n")

    def let_go(self, node_id: str) -> None:
        """End a node's listener and connections; returns when its address is free."""
        if self._loop is not None:
            asyncio.run_coroutine_threadsafe(self._end(node_id), self._loop).result(_CLOSING_S)

    def _begin(
        self, node_id: str, folder: Path, held: socket.socket, address: Address, host_key: bytes
    ) -> None:
        desk = _Desk(folder, held, address, asyncssh.import_private_key(host_key))
        self._attending[node_id] = asyncio.get_running_loop().create_task(desk.attend())

    async def _end(self, node_id: str) -> None:
        task = self._attending.pop(node_id, None)
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _leave(self) -> None:
        for node_id in list(self._attending):
            await self._end(node_id)


@define(eq=False)
class _Desk:
    """Serves one node."""

    _folder: Path
    _held: socket.socket
    _address: Address
    _host_key: asyncssh.SSHKey
    _connections: set[asyncssh.SSHServerConnection] = field(factory=set)

    async def attend(self) -> None:
        try:
            while True:
                with await self._first_process() as watch, contextlib.suppress(OSError):
                    # A program that isn't ours may listen there by now; then the address is waited for below.
                    async with self._listening():
                        await _until_end(watch)
                self._held.close()
                # Its address is kept while it boots again.
                self._held = await _again(self._address)
        finally:
            self._hang_up()
            self._held.close()

    async def _first_process(self) -> socket.socket:
        """Return a connection that lasts as long as the node's first process, once there is one."""
        loop = asyncio.get_running_loop()
        while True:
            with contextlib.suppress(OSError):
                watch = connected(self._folder)
                is_there = False
                try:
                    await loop.sock_sendall(watch, json.dumps({"kind": "watch"}).encode() + b"\n")
                    is_there = bool(await loop.sock_recv(watch, 4096))
                finally:
                    if not is_there:
                        watch.close()
                if is_there:
                    return watch
            await asyncio.sleep(_LOOK_S)

    @contextlib.asynccontextmanager
    async def _listening(self) -> AsyncIterator[None]:
        acceptor = await asyncssh.listen(
            sock=self._held,
            server_factory=lambda: _Server(self._folder, self._address, self._connections),
            server_host_keys=[self._host_key],
            password_auth=False,
            kbdint_auth=False,
            host_based_auth=False,
            gss_host=None,
            encoding=None,
            line_editor=False,
            allow_scp=False,
            x11_forwarding=False,
            agent_forwarding=False,
            keepalive_interval=0,
            login_timeout=120,
            config=None,
        )
        try:
            yield
        finally:
            acceptor.close()
            # Before the wait, which lasts as long as there are connections.
            self._hang_up()
            await acceptor.wait_closed()

    def _hang_up(self) -> None:
        for connection in list(self._connections):
            connection.abort()
        self._connections.clear()


class _Server(asyncssh.SSHServer):
    """One connection: who may in, and to what."""

    def __init__(
        self, folder: Path, address: Address, connections: set[asyncssh.SSHServerConnection]
    ) -> None:
        self._folder = folder
        self._address = address
        self._connections = connections

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        """See asyncssh."""
        self._conn = conn
        self._user = _USER
        self._connections.add(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncssh."""
        self._connections.discard(self._conn)

    def begin_auth(self, username: str) -> bool:
        """See asyncssh."""
        return True

    def public_key_auth_supported(self) -> bool:
        """See asyncssh."""
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        """See asyncssh."""
        self._user = username
        return key.public_data in _authorized(self._folder, username)

    def session_requested(self) -> NodeSession:
        """See asyncssh."""
        host, port = self._conn.get_extra_info("peername")[:2]
        env = {
            "SSH_CLIENT": f"{host} {port} {self._address.port}",
            "SSH_CONNECTION": f"{host} {port} {self._address.host} {self._address.port}",
        }
        return NodeSession(self._folder, env, user="" if self._user == _USER else self._user)

    def connection_requested(
        self, dest_host: str, dest_port: int, orig_host: str, orig_port: int
    ) -> bool:
        """See asyncssh."""
        return True

    def server_requested(self, listen_host: str, listen_port: int) -> bool:
        """See asyncssh."""
        return True


def _authorized(folder: Path, user: str) -> set[bytes]:
    """Return the keys that open a node to a user now: what the user's file says, as a real one's would."""
    home = _home_of(folder, user)
    if home is None:
        return set()
    place = folder / "disk" / "upper" / home / ".ssh" / "authorized_keys"
    try:
        lines = place.read_text(errors="replace").splitlines()
    except OSError:
        lines = (folder / "keys").read_text().splitlines() if user == _USER else []
    found = set()
    for line in lines:
        words = _WORD.findall(line)
        # A line may begin with options. None is heeded: to `from`, all nodes are at one address, this machine's.
        for begin in (0, 1):
            with contextlib.suppress(asyncssh.KeyImportError):
                found.add(
                    asyncssh.import_public_key(" ".join(words[begin : begin + 2])).public_data
                )
    return found


def _home_of(folder: Path, user: str) -> str | None:
    """Return where on the node's disk a person's home is, or root's; None where there is no such person."""
    if user == _USER:
        return f"home/{_USER}"
    if user == "root":
        return user
    with contextlib.suppress(OSError):
        for line in (folder / "disk" / "upper" / "etc" / "passwd").read_text().splitlines():
            name, _, number, _, _, home, _ = line.split(":")
            if name == user and int(number) >= _FIRST_PERSON and home == f"/home/{user}":
                return home.lstrip("/")
    return None


async def _until_end(watch: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while await asyncio.get_running_loop().sock_recv(watch, 4096):
            pass


async def _again(address: Address) -> socket.socket:
    """Return a socket at the address once it is to be had."""
    while (held := bound_at(address)) is None:
        await asyncio.sleep(_LOOK_S)
    return held
