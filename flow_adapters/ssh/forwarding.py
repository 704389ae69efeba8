"""A loopback port of this machine that leads to a port on a node.

Each connection to it is carried by whatever connection to the node there is then, so that it outlives the one there was
at first.
"""

from __future__ import annotations

import asyncio
import errno

from flow_adapters.lean_asyncssh import asyncssh
from flow_adapters.ssh.connections import Connections
from flow_adapters.ssh.reasons import Lost
from flow_adapters.ssh.targets import Target
from flow_core.errors import Conflict

_PIECE = 64 << 10


class Forwarding:
    """Listens, and carries what connects."""

    def __init__(self, connections: Connections, target: Target, port: int) -> None:
        self._connections = connections
        self._target = target
        self._port = port
        self._server: asyncio.Server | None = None
        self._carried: set[asyncio.Task[None]] = set()

    async def open(self, local_port: int) -> int:
        """Listen, and return the port.

        Raises:
            Lost: the node gives no answer.
            Conflict: the port is taken on this machine.
        """
        await self._connections.reach(self._target)
        try:
            self._server = await asyncio.start_server(self._carry, "127.0.0.1", local_port)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            raise Conflict(
                f"port {local_port} of this machine can't be listened on: {error.strerror}",
                hint="leave the local port out to be given a free one",
            ) from error
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Listen no more, and cut what is being carried."""
        if self._server is not None:
            self._server.close()
        for task in self._carried:
            task.cancel()
        if self._carried:
            await asyncio.wait(self._carried, timeout=1)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._carried.add(task)
        try:
            async with self._connections.link(self._target) as link:
                there = await link.connection.open_connection(
                    "localhost", self._port, encoding=None
                )
                try:
                    await asyncio.gather(_pour(reader, there[1]), _pour(there[0], writer))
                finally:
                    there[1].close()
        except (OSError, asyncssh.Error, Lost):
            return  # who connected sees its connection end, as at any port nobody listens on
        finally:
            writer.close()
            self._carried.discard(task)


async def _pour(
    source: asyncio.StreamReader | asyncssh.SSHReader[bytes],
    goal: asyncio.StreamWriter | asyncssh.SSHWriter[bytes],
) -> None:
    while data := await source.read(_PIECE):
        goal.write(data)
        await goal.drain()
    if goal.can_write_eof():
        goal.write_eof()
