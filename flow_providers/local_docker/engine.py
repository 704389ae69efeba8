"""The engine's HTTP API, over a Unix socket or TCP, without a library for it.

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

from flow_core.domain.run import Stream
from flow_providers.local_docker.address import Address
from flow_providers.local_docker.errors import meant, refusal, unreached
from flow_providers.local_docker.exchanges import Answer, send, status_alone

if TYPE_CHECKING:
    from flow_providers.local_docker.plugs import Plug

#: Seconds of silence after which a request counts as unanswered. Building and pulling tell something all the time.
ANSWER_S = 120.0
#: The same where something is started in a container: engines don't always answer when that goes at this moment.
HIJACK_S = 20.0
_FRAME = struct.Struct(">BxxxI")
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
        if not raw or "json" not in answer.headers.get("content-type", ""):
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
            for line in answer.lines():
                if line.strip():
                    yield json.loads(line)

    def hijacked(self, path: str, body: object) -> Hijacked:
        """Post `body` and return the connection, which from then on carries bytes both ways."""
        text = json.dumps(body).encode()
        headers = {"Content-Type": "application/json", "Connection": "Upgrade", "Upgrade": "tcp"}
        plug = self._plug(HIJACK_S, half_closes=True)
        try:
            send(plug, "POST", quote(path), headers=headers, body=text)
            status = status_alone(plug)
            rest = plug.recv(65_536) if status not in (101, 200) else b""
        except OSError as error:
            plug.close()
            raise unreached(error, str(self.address)) from error
        if status not in (101, 200):
            plug.close()
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
    ) -> Iterator[Answer]:
        target = quote(path) + ("?" + urlencode(_plain(query)) if query else "")
        kind = "application/x-tar" if body is None else "application/json"
        given = data if body is None else json.dumps(body).encode()
        sent = {**({"Content-Type": kind} if given is not None else {}), **(headers or {})}
        plug = self._plug(ANSWER_S)
        try:
            send(plug, method, target, headers=sent, body=given)
            answer = Answer(plug)
            if answer.status >= 400:
                words = _words(answer.read())
                status = meant(answer.status, words)
                if status not in fine:
                    raise refusal(status, words)
            yield answer
        except OSError as error:
            raise unreached(error, str(self.address)) from error
        finally:
            plug.close()

    def _plug(self, timeout_s: float, *, half_closes: bool = False) -> Plug:
        try:
            return self.address.connected(timeout_s, half_closes=half_closes)
        except OSError as error:
            raise unreached(error, str(self.address)) from error


@frozen
class Hijacked:
    """A connection to what runs in a container. Closing it ends nothing there."""

    plug: Plug

    def frames(self) -> Iterator[tuple[Stream, bytes]]:
        """Yield what is written to either stream, until the end. `TimeoutError` is the plug's."""
        while head := self._exactly(_FRAME.size):
            kind, length = _FRAME.unpack(head)
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
