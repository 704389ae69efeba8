"""A client's way in without a socket: an httpx transport whose other end is a handler of requests."""

from __future__ import annotations

from collections.abc import Callable

import httpx

from flow_providers.mock.http.messages import Request, Response, query_of

Handle = Callable[[Request], Response]


class DoorTransport(httpx.BaseTransport):
    """Implements httpx's transport over `handle`; a dropped reply is a connection that broke."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Return what the handler replies.

        Raises:
            httpx.RemoteProtocolError: the connection was cut instead of an answer.
        """
        response = self._handle(
            Request(
                method=request.method,
                path=request.url.path,
                query=query_of(request.url.query.decode("ascii")),
                headers={name.lower(): value for name, value in request.headers.items()},
                body=request.read(),
            )
        )
        if response.is_dropped:
            raise httpx.RemoteProtocolError("the server disconnected without sending a response")
        # As a stream, for the client to read: it then knows how long the reply took.
        return httpx.Response(
            response.status,
            headers=[*response.headers, ("content-length", str(len(response.body)))],
            stream=httpx.ByteStream(response.body),
            request=request,
        )
