"""The door behind any ASGI server; a request from a page on another host is turned away.

A browser that was led here by a name that points to this machine sends that name as Host, so only the names of
loopback, and those that were asked for, are let in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any

from flow_providers.mock.http.messages import Refused, Request, Response, query_of, refusal

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Handle = Callable[[Request], Response]

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
#: The largest body that is read. A bid with the longest script is a hundredth of it.
MOST_BYTES = 4_000_000
#: Where a server puts the function that cuts the connection.
ABORT = "flow.abort"


class AsgiDoor:
    """An ASGI application over `handle`; `hosts` are let in beside the names of loopback."""

    def __init__(self, handle: Handle, *, hosts: Collection[str] = ()) -> None:
        self._handle = handle
        self._hosts = {*LOOPBACK_NAMES, *hosts}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one connection's request."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        if scope["type"] != "http":
            return
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in scope["headers"]
        }
        body = await _body(receive)
        if _host(headers.get("host", "")) not in self._hosts:
            response = refusal(Refused(400, "This host is not served here"))
        elif body is None:
            response = refusal(Refused(413, f"A body has at most {MOST_BYTES} bytes"))
        else:
            request = Request(
                method=scope["method"],
                path=scope["path"],
                query=query_of(scope["query_string"].decode("latin-1")),
                headers=headers,
                body=body,
            )
            response = await asyncio.to_thread(self._handle, request)
        if response.is_dropped:
            await _drop(scope, receive, send)
            return
        lengths = (("content-length", str(len(response.body))),) if response.status != 204 else ()
        await send(
            {
                "type": "http.response.start",
                "status": response.status,
                "headers": [
                    (name.encode("latin-1"), value.encode("latin-1"))
                    for name, value in (*response.headers, *lengths)
                ],
            }
        )
        await send({"type": "http.response.body", "body": response.body})


async def _body(receive: Receive) -> bytes | None:
    """Return the whole body; None if it is too large."""
    parts, size = [], 0
    while True:
        message = await receive()
        part = message.get("body", b"")
        size += len(part)
        if size <= MOST_BYTES:
            parts.append(part)
        if not message.get("more_body"):
            return b"".join(parts) if size <= MOST_BYTES else None


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _drop(scope: Message, receive: Receive, send: Send) -> None:
    """Cut the connection; under a server that can't, break off in the middle of a reply."""
    abort = scope.get("extensions", {}).get(ABORT)
    if abort is None:
        await send(
            {"type": "http.response.start", "status": 502, "headers": [(b"content-length", b"1")]}
        )
        return
    abort()
    while (await receive())["type"] != "http.disconnect":
        pass


def _host(header: str) -> str:
    """Return the name in a Host header, without its port."""
    name, colon, port = header.strip().lower().rpartition(":")
    return name if colon and port.isdigit() else header.strip().lower()
