"""HTTP over a real socket: what connections that break leave behind, and that they are used again."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress

import pytest

from flow_adapters.clocks import ManualClock
from flow_adapters.http import Bearer, Http, NoAnswer, Retries
from flow_adapters.origins import origin_of
from tests.adapters.test_http import KEY, rendered

WHOLE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]"
HALF = WHOLE.replace(b"Content-Length: 2", b"Content-Length: 200")


class Server:
    """Answers each request on a connection with the next of `answers`; None hangs up without a word."""

    def __init__(self, *answers: bytes | None) -> None:
        self._answers = list(answers)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(10)
        self.connections = 0
        self.requests: list[bytes] = []
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening, and wait until nothing is served any more."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(10)

    def _serve(self) -> None:
        while self._answers:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            with connection:
                self._converse(connection)

    def _converse(self, connection: socket.socket) -> None:
        connection.settimeout(10)
        while self._answers:
            request = b""
            while b"\r\n\r\n" not in request:
                piece = connection.recv(65_536)
                if not piece:
                    return
                request += piece
            self.requests.append(request)
            answer = self._answers.pop(0)
            if answer is None:
                return
            connection.sendall(answer)
            if answer == HALF:
                return


@pytest.fixture
def serving(request: pytest.FixtureRequest) -> Callable[..., tuple[Server, Http]]:
    """A way to start a server and a client of it."""

    def start(*answers: bytes | None) -> tuple[Server, Http]:
        server = Server(*answers)
        bearer = Bearer(origin_of(server.url), lambda: KEY, missing="no key is set")
        http = Http(server.url, bearer=bearer, clock=ManualClock(), retries=Retries(tries=2))
        request.addfinalizer(server.close)
        request.addfinalizer(http.close)
        return server, http

    return start


def test_a_connection_is_used_again(serving):
    """Three requests in a row take one connection, and each carries the key."""
    server, http = serving(WHOLE, WHOLE, WHOLE)
    for _ in range(3):
        http.get("/a")

    assert 1 == server.connections
    assert all(f"Bearer {KEY}".encode() in request for request in server.requests)


@pytest.mark.parametrize("answer", [None, HALF], ids=["dropped", "half a body"])
def test_a_creation_that_breaks_off_is_sent_once(serving, answer):
    """A connection that ends before the whole answer came leaves a doubt, no second request, and no key in sight."""
    server, http = serving(answer, WHOLE)

    with pytest.raises(NoAnswer) as caught:
        http.post("/a", {"x": 1})

    told = rendered(caught.value)
    assert caught.value.may_have_happened
    assert 1 == len(server.requests)
    assert KEY not in told
    assert "site-packages/http" not in told


@pytest.mark.parametrize("answer", [None, HALF], ids=["dropped", "half a body"])
def test_a_read_that_breaks_off_is_sent_again(serving, answer):
    """A read is answered by the second connection."""
    server, http = serving(answer, WHOLE)

    assert [] == http.get("/a").data
    assert 2 == server.connections
