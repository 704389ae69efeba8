"""The engine's HTTP API, over a Unix socket or TCP, by the standard library alone.

The docker SDK does the same with requests and urllib3, whose import alone takes longer than all that a command here
asks of the engine; see docs/decisions/0007-docker-without-its-sdk.md. Each request has a connection of its own: on a
Unix socket one costs microseconds, and threads then share nothing. Paths carry no version, so that every engine
answers as the newest that it is: what is used here is older than any version in use.

Source: the Docker Engine API, version 1.41, https://docs.docker.com/engine/api/v1.41/.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from attrs import frozen

from flow_adapters.lean_http import client
from flow_core.domain.run import Stream
from flow_providers.local_docker.address import Address
from flow_providers.local_docker.errors import meant, refusal, unreached

if TYPE_CHECKING:
    from flow_providers.local_docker.plugs import Plug

#: Seconds of silence after which a request counts as unanswered. Building and pulling tell something all the time.
ANSWER_S = 120.0
#: The same where something is started in a container: engines don't always answer when that goes at this moment.
HIJACK_S = 20.0
#: What is before each piece of a stream: which it is, and how many bytes follow.
FRAME = struct.Struct(">BxxxI")
_STREAMS = {1: Stream.OUT, 2: Stream.ERR}


class Engine:
    """Asks one engine. Every method may raise `Transient` (no answer) and `NotAuthorized` (the socket isn't yours)."""

    def __init__(self, address: Address) -> None:
        self.address = address

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        body: object = None,
        data: bytes | None = None,
        fine: Iterable[int] = (),
    ) -> Any:
        """Return the answer's JSON, None where it has none; a status among `fine` is no error.

        Raises:
            NotFound, Conflict, InUse, InvalidRequest: the engine refused; its words are in the message.
        """
        with self._answer(method, path, query=query, body=body, data=data, fine=fine) as answer:
            raw = answer.read()
        if not raw or "json" not in (answer.getheader("Content-Type") or ""):
            return None
        return json.loads(raw)

    def raw(self, method: str, path: str, *, query: Mapping[str, object]) -> bytes:
        """Return the answer's bytes. Raises as `ask` does."""
        with self._answer(method, path, query=query) as answer:
            return answer.read()

    def lines(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        data: Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Yield the JSON values that an answer brings one after the other, as they come."""
        with self._answer(method, path, query=query, data=data, headers=headers) as answer:
            for line in answer:
                if line.strip():
                    yield json.loads(line)

    def hijacked(
        self, path: str, body: object = None, *, query: Mapping[str, object] | None = None
    ) -> Hijacked:
        """Post `body` and return the connection, which from then on carries bytes both ways."""
        connection = _Connection(self.address, timeout_s=HIJACK_S, half_closes=True)
        # Without one, not a byte may come after the head: what is read late is the container's.
        text = None if body is None else json.dumps(body).encode()
        headers = {"Connection": "Upgrade", "Upgrade": "tcp"}
        if text is not None:
            headers["Content-Type"] = "application/json"
        try:
            connection.request("POST", _target(path, query), body=text, headers=headers)
            plug: Plug = connection.sock
            head = _head(plug)
        except OSError as error:
            connection.close()
            raise unreached(error, str(self.address)) from error
        status = int(head.split(None, 2)[1])
        if status not in (101, 200):
            rest = plug.recv(65_536)
            connection.close()
            raise refusal(meant(status, _words(rest)), _words(rest))
        plug.settimeout(None)
        return Hijacked(plug)

    @contextmanager
    def _answer(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        body: object = None,
        data: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        fine: Iterable[int] = (),
    ) -> Iterator[client.HTTPResponse]:
        connection = self._connection()
        target = _target(path, query)
        kind = "application/x-tar" if body is None else "application/json"
        given = data if body is None else json.dumps(body).encode()
        sent = {**({"Content-Type": kind} if given is not None else {}), **(headers or {})}
        try:
            connection.request(method, target, body=given, headers=sent)
            answer = connection.getresponse()
            if answer.status >= 400:
                words = _words(answer.read())
                status = meant(answer.status, words)
                if status not in fine:
                    raise refusal(status, words)
            yield answer
        except client.HTTPException as error:
            raise unreached(OSError(str(error) or "it broke off"), str(self.address)) from error
        except OSError as error:
            raise unreached(error, str(self.address)) from error
        finally:
            connection.close()

    def _connection(self) -> client.HTTPConnection:
        return _Connection(self.address)


@frozen
class Hijacked:
    """A connection to what runs in a container. Closing it ends nothing there."""

    plug: Plug

    def frames(self) -> Iterator[tuple[Stream, bytes]]:
        """Yield what is written to either stream, until the end. `TimeoutError` is the plug's."""
        while head := self._exactly(FRAME.size):
            kind, length = FRAME.unpack(head)
            while length:
                data = self.plug.recv(min(length, 65_536))
                if not data:
                    return
                length -= len(data)
                yield _STREAMS.get(kind, Stream.OUT), data

    def end_input(self) -> None:
        """Let the other side read the end of its input."""
        self.plug.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close both ways; whoever waits in another thread for this connection is woken."""
        with suppress(OSError):
            self.plug.shutdown(socket.SHUT_RDWR)
        self.plug.close()

    def _exactly(self, count: int) -> bytes:
        found = b""
        while len(found) < count:
            data = self.plug.recv(count - len(found))
            if not data:
                return b""
            found += data
        return found


class _Connection(client.HTTPConnection):
    def __init__(
        self, address: Address, *, timeout_s: float = ANSWER_S, half_closes: bool = False
    ) -> None:
        super().__init__("localhost" if address.path else address.host, timeout=timeout_s)
        self._address = address
        self._timeout_s = timeout_s
        self._half_closes = half_closes

    def connect(self) -> None:
        self.sock = self._address.connected(self._timeout_s, half_closes=self._half_closes)


def _target(path: str, query: Mapping[str, object] | None) -> str:
    return quote(path) + ("?" + urlencode(_plain(query)) if query else "")


def _head(plug: Plug) -> str:
    """Read an answer's head and not a byte more: what follows belongs to the stream."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = plug.recv(1)
        if not byte:
            raise ConnectionResetError(0, "it broke off")
        head += byte
    return head.decode("latin-1")


def _words(raw: bytes) -> str:
    """Return the message in an answer's body, in one line."""
    text = raw.decode("utf-8", "replace")
    begin = text.find("{")
    with suppress(ValueError, KeyError, TypeError):
        text = json.JSONDecoder().raw_decode(text[begin:])[0]["message"] if begin >= 0 else text
    return " ".join(str(text).split())


def _plain(query: Mapping[str, object]) -> dict[str, str]:
    return {
        key: value if isinstance(value, str) else json.dumps(value) for key, value in query.items()
    }


def read_json(path: Path) -> dict[str, Any]:
    """Return what a file of Docker's own settings holds, {} where there is none that can be read."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
