"""The door behind a socket on loopback: uvicorn, and a pulse that lets things happen while nobody asks."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from flow_core.errors import Conflict, FlowError
from flow_providers.mock.http.asgi import ABORT, AsgiDoor, Message, Receive, Send
from flow_providers.mock.http.service import Service

#: How often, in real seconds, the world is looked at while nobody asks.
PULSE_S = 1.0
_LOOPBACK = "127.0.0.1"


class Connection(H11Protocol):
    """A connection that the application may cut."""

    def connection_made(self, transport: Any) -> None:
        """Tell the application how."""
        super().connection_made(transport)
        self.app = cast("Any", partial(_told, self.app, transport.abort))


async def _told(
    app: Any, abort: Callable[[], None], scope: Message, receive: Receive, send: Send
) -> None:
    extensions = {**scope.get("extensions", {}), ABORT: abort}
    await app({**scope, "extensions": extensions}, receive, send)


class Server:
    """Serves a service on a loopback port; 0 takes a free one."""

    def __init__(self, service: Service, *, port: int) -> None:
        self._service = service
        self._socket = _listening(port)
        config = uvicorn.Config(
            cast("Any", AsgiDoor(service.handle)),
            http=Connection,
            ws="none",
            interface="asgi3",
            lifespan="off",
            access_log=False,
            log_level="warning",
            date_header=False,
            server_header=False,
            proxy_headers=False,
        )
        self._server = uvicorn.Server(config)
        self._stopped = threading.Event()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{_LOOPBACK}:{self._socket.getsockname()[1]}"

    def run(self) -> None:
        """Serve until told to stop, or interrupted."""
        pulse = threading.Thread(target=self._pulse, daemon=True)
        pulse.start()
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self._stopped.set()
            pulse.join()
            self._socket.close()

    def stop(self) -> None:
        """Have `run` return once the requests under way are served."""
        self._server.should_exit = True

    def _pulse(self) -> None:
        while not self._stopped.wait(PULSE_S):
            try:
                self._service.engine.catch_up()
            except FlowError:
                continue  # The next request meets the same trouble, and tells it.


def _listening(port: int) -> socket.socket:
    try:
        found = socket.create_server((_LOOPBACK, port))
    except OSError as exc:
        raise Conflict(
            f"port {port} of this machine is taken", hint="name another with --port, or 0"
        ) from exc
    # A reply leaves in two writes; the second would wait up to 40 ms for the client's acknowledgement of the first.
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return found
