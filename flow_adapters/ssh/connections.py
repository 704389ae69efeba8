"""Connections to nodes: one for each node while it lasts, shared by calls, kept for the next ones.

How many are made at once is bounded, because each takes this machine some milliseconds of work and they would all be
late together. But whoever waits for a node that says nothing gives its place up after a second: the dead never hold
up the living.
"""

from __future__ import annotations

import asyncio
import copy
import errno
import socket
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from attrs import define, field

from flow_adapters.lean_asyncssh import asyncssh
from flow_adapters.ssh.early import AT_ONCE, Early
from flow_adapters.ssh.reasons import KeyChanged, Lost, reason_for
from flow_adapters.ssh.targets import HOST_KEYS, Target
from flow_adapters.ssh.trust import KnownNodes, alias
from flow_core.errors import FlowError

PLACE_S = 1.0
#: Sessions on one connection; OpenSSH's server allows ten. Source: sshd_config(5), MaxSessions.
SESSIONS = 8
#: Connections through one host on the way, which that setting doesn't count.
MANY = 100_000
#: How long commands may take to end before their connections are closed all the same.
ENDING_S = 5.0
#: How many unused connections are kept, and for how long.
KEPT = 128
KEPT_S = 600.0


@define(eq=False)
class Link:
    """A connection and how many use it."""

    connection: asyncssh.SSHClientConnection
    target: Target
    #: The ProxyCommand that carries it, if one does.
    carrier: subprocess.Popen[bytes] | None = None
    users: int = 0
    was_used: bool = False
    is_lost: bool = False
    expiry: asyncio.TimerHandle | None = field(default=None)
    #: Held for a session beyond `SESSIONS`, of which the server allows two.
    one_more: asyncio.Lock = field(factory=asyncio.Lock)


class Connections:
    """Makes and keeps connections; lives in one event loop."""

    def __init__(self, *, known: KnownNodes, early: Early, timeout_s: float) -> None:
        self._known = known
        self._early = early
        self._timeout_s = timeout_s
        self._places = asyncio.Semaphore(AT_ONCE)
        self._links: dict[object, list[Link]] = {}
        self._making: dict[object, asyncio.Task[Link]] = {}
        self._unused: dict[Link, None] = {}
        #: What uses connections; cancelled when they close, and waited for.
        self.users: set[asyncio.Task[Any]] = set()
        #: What ends commands on nodes; waited for and not cancelled.
        self.last_work: set[asyncio.Task[None]] = set()
        self._agent: asyncssh.SSHAgentClient | None = None
        #: Whether a node refused all keys, so that looking for them anew is worth it.
        self.refused_keys = False

    async def agent_keys(self) -> tuple[asyncssh.SSHKeyPair, ...]:
        """Return what the user's agent holds now, empty without an agent. Pairs returned earlier sign no more."""
        await self._leave_agent()
        try:
            self._agent = await asyncssh.connect_agent()
            return tuple(await self._agent.get_keys())
        except (OSError, ValueError, asyncssh.Error):
            return ()

    @asynccontextmanager
    async def link(self, target: Target) -> AsyncIterator[Link]:
        """While entered, a connection to `target`.

        Raises:
            Lost: there is none; the message is the reason.
        """
        link = await self._take(target)
        try:
            yield link
        finally:
            self._give_back(link)

    async def reach(self, target: Target) -> None:
        """Return when there is a connection to `target`; raise `Lost` when there can't be one."""
        async with self.link(target):
            return

    def drop(self, link: Link) -> None:
        """Use a connection no more for what is new; it is closed when its last user has gone."""
        link.is_lost = True
        links = self._links.get(link.target.link, [])
        if link in links:
            links.remove(link)
        self._unused.pop(link, None)
        if link.users == 0:
            _close(link)

    async def close(self) -> None:
        """End what still uses connections, then close them; return when the other ends have been told."""
        for user in self.users:
            user.cancel()
        for tasks in (self.users, self.last_work):
            if tasks:
                await asyncio.wait(tasks, timeout=ENDING_S)
        for task in self._making.values():
            task.cancel()
        links = [link for links in self._links.values() for link in links]
        for link in links:
            _close(link)
        await self._leave_agent()
        if links:
            await asyncio.wait([asyncio.ensure_future(_closed(link)) for link in links], timeout=1)

    async def _leave_agent(self) -> None:
        if self._agent is not None:
            self._agent.close()
            await self._agent.wait_closed()
            self._agent = None

    async def _take(self, target: Target, *, most: int = SESSIONS) -> Link:
        while True:
            for link in self._links.get(target.link, ()):
                if link.users < most:
                    link.users += 1
                    self._unused.pop(link, None)
                    if link.expiry is not None:
                        link.expiry.cancel()
                    return link
            making = self._making.get(target.link)
            if making is None:
                making = asyncio.ensure_future(self._make(target))
                self._making[target.link] = making
                making.add_done_callback(lambda task: self._made(target, task))
            # Others may wait for the same connection: one who leaves must not take it away.
            await asyncio.shield(making)

    def _made(self, target: Target, task: asyncio.Task[Link]) -> None:
        self._making.pop(target.link, None)
        if not task.cancelled():
            task.exception()  # looked at, so that nobody complains where nobody waited

    def _give_back(self, link: Link) -> None:
        link.users -= 1
        link.was_used = True
        if link.users:
            return
        if link.is_lost:
            _close(link)
            return
        self._unused[link] = None
        link.expiry = asyncio.get_running_loop().call_later(KEPT_S, self.drop, link)
        if len(self._unused) > KEPT:
            self.drop(next(iter(self._unused)))

    async def _make(self, target: Target) -> Link:
        client = _Client(target, self._known)
        try:
            async with self._place():
                connection = await asyncio.wait_for(
                    self._connect(target, client), timeout=self._timeout_s
                )
        except (OSError, ValueError, asyncio.TimeoutError, asyncssh.Error, Lost) as error:
            raise Lost(self._reason(client.refusal or error, target, client)) from error
        link = Link(connection, target, carrier=connection.get_extra_info("subprocess"))
        client.at_loss.append(lambda: self.drop(link))
        if connection.is_closed():
            raise Lost(f"the connection to {target.where} was lost")
        self._links.setdefault(target.link, []).append(link)
        return link

    async def _connect(self, target: Target, client: _Client) -> asyncssh.SSHClientConnection:
        options = target.options
        through: dict[str, object] = {}
        undo = _nothing
        if target.jump is not None:
            jump = await self._take(target.jump, most=MANY)
            through, undo = {"tunnel": jump.connection}, lambda: self._give_back(jump)
        elif not options.proxy_command:
            begun = self._early.take(options.host, options.port)
            sock = await _socket_to(options.host, options.port, begun)
            through, undo = {"sock": sock, "tunnel": None}, sock.close
        try:
            connection = await asyncssh.connect(
                target.address.host,
                options=options,
                config=None,
                client_factory=lambda: client,
                server_host_key_algs=client.host_key_algorithms,
                **through,
            )
        except BaseException:
            undo()
            raise
        if target.jump is not None:
            client.at_loss.append(undo)
        return connection

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        await self._places.acquire()
        is_held = True

        def leave() -> None:
            nonlocal is_held
            if is_held:
                is_held = False
                self._places.release()

        timer = asyncio.get_running_loop().call_later(PLACE_S, leave)
        try:
            yield
        finally:
            timer.cancel()
            leave()

    def _reason(self, error: BaseException, target: Target, client: _Client) -> str:
        reason = reason_for(
            error, where=target.where, user=target.options.username, timeout_s=self._timeout_s
        )
        if not isinstance(error, asyncssh.PermissionDenied):
            return reason
        self.refused_keys = True
        count = client.offered
        told = "; ".join([f"{count} key{'s' * (count != 1)} offered", *target.problems])
        return f"{reason} ({told})"


class _Client(asyncssh.SSHClient):
    """Answers what a connection asks while it is made: is this the right host, which key next."""

    def __init__(self, target: Target, known: KnownNodes) -> None:
        self.refusal: BaseException | None = None
        self.offered = 0
        self.at_loss: list[Callable[[], None]] = []
        self._target = target
        self._known = known
        # Signing writes into a pair which algorithm the server likes, and servers differ.
        self._keys = iter([copy.copy(pair) for pair in target.keys])

    @property
    def host_key_algorithms(self) -> list[str]:
        """The kinds of host keys to ask for, the pinned one first, so that a host with several shows that one."""
        node_id = self._target.node_id
        pinned = self._known.key_of(node_id) if node_id is not None else None
        kind = pinned.split()[0] if pinned else ""
        first = [
            each for each in HOST_KEYS if each == kind or (kind == "ssh-rsa" and "rsa-" in each)
        ]
        return [*first, *(each for each in HOST_KEYS if each not in first)]

    def validate_host_public_key(
        self, host: str, addr: str, port: int, key: asyncssh.SSHKey
    ) -> bool:
        """Whether the node's host key is the one pinned to it; a first one is pinned."""
        node_id = self._target.node_id
        if node_id is None:
            self.refusal = Lost(
                f"the host key of {self._target.where}, on the way, is not in your known_hosts; "
                f"`ssh {host}` once shows it"
            )
            return False
        words = key.export_public_key("openssh").decode("ascii").split()
        shown = f"{words[0]} {words[1]}"
        try:
            pinned = self._known.key_of(node_id)
            if pinned is None:
                self._known.pin(node_id, shown)
                return True
        except (FlowError, OSError) as error:
            self.refusal = Lost(f"host keys can't be remembered: {error}")
            return False
        if pinned == shown:
            self._known.refused.pop(node_id, None)
            return True
        self._known.refused[node_id] = shown
        self.refusal = KeyChanged(
            pinned=pinned, shown=shown, file=str(self._known.path), alias=alias(node_id)
        )
        return False

    def public_key_auth_requested(self) -> list[asyncssh.SSHKeyPair] | None:
        """The next key to offer, None after the last."""
        pair = next(self._keys, None)
        if pair is None:
            return None
        self.offered += 1
        return [pair]

    def connection_lost(self, exc: Exception | None) -> None:
        """Have nobody use the connection any more."""
        for each in self.at_loss:
            each()


async def _socket_to(host: str, port: int, begun: socket.socket | None) -> socket.socket:
    """Return a socket that is connected to the first address of `host` that answers; one may have begun to be."""
    loop = asyncio.get_running_loop()
    kind = socket.SOCK_STREAM
    try:
        found = socket.getaddrinfo(host, port, type=kind, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        found = await loop.getaddrinfo(host, port, type=kind)
    problem: OSError = socket.gaierror(f"{host} has no address")
    for family, _, _, _, address in found:
        sock, begun = begun or socket.socket(family, kind), None
        sock.setblocking(False)
        try:
            await loop.sock_connect(sock, address)
        except OSError as error:
            if error.errno == errno.EISCONN:
                return sock
            sock.close()
            problem = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise problem


async def _closed(link: Link) -> None:
    await link.connection.wait_closed()
    # asyncssh doesn't wait for a ProxyCommand, whose end must find the loop open.
    while link.carrier is not None and link.carrier.returncode is None:
        await asyncio.sleep(0.01)


def _close(link: Link) -> None:
    if link.expiry is not None:
        link.expiry.cancel()
    link.connection.close()


def _nothing() -> None:
    """Do nothing."""
