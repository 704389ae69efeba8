"""What is sent to an engine, and how its answers are read, whatever pieces they come in."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as some

from flow_providers.local_docker.exchanges import Answer, send, status_alone

BODIES = some.binary(max_size=300)


class Pieces:
    """A `Plug` whose other side says these bytes, so many at a time, and then nothing more."""

    def __init__(self, said: bytes = b"", at_once: int = 65_536) -> None:
        self.said = said
        self.sent = b""
        self._at_once = at_once

    def recv(self, count: int, /) -> bytes:
        """See `Plug.recv`."""
        length = min(count, self._at_once)
        piece, self.said = self.said[:length], self.said[length:]
        return piece

    def sendall(self, data: bytes, /) -> None:
        """See `Plug.sendall`."""
        self.sent += data

    def shutdown(self, how: int, /) -> None:
        """See `Plug.shutdown`."""

    def settimeout(self, seconds: float | None, /) -> None:
        """See `Plug.settimeout`."""

    def close(self) -> None:
        """See `Plug.close`."""


@given(
    body=BODIES,
    at_once=some.integers(1, 50),
    chunk=some.integers(1, 100),
    how=some.sampled_from(["length", "chunks", "end"]),
)
def test_a_body_is_read_whole(body: bytes, at_once: int, chunk: int, how: str):
    """Whichever way an engine tells where a body ends, and whatever it comes in, it is read once and as it was."""
    head = {"length": f"Content-Length: {len(body)}", "chunks": "transfer-encoding: chunked"}
    said = f"HTTP/1.1 200 OK\r\n{head.get(how, 'X: y')}\r\n\r\n".encode()
    answer = Answer(Pieces(said + (chunked(body, chunk) if how == "chunks" else body), at_once))

    assert (200, body, b"") == (answer.status, answer.read(), answer.read())


@given(values=some.lists(some.integers()), at_once=some.integers(1, 50))
def test_lines_come_one_by_one(values: list[int], at_once: int):
    """Lines are found wherever the pieces they come in end."""
    body = b"".join(json.dumps({"n": each}).encode() + b"\r\n" for each in values)
    answer = Answer(Pieces(b"HTTP/1.1 200 OK\r\n\r\n" + body, at_once))

    assert values == [json.loads(line)["n"] for line in answer.lines() if line.strip()]


@given(body=BODIES, chunk=some.integers(1, 100))
def test_what_is_sent_in_pieces_is_in_chunks(body: bytes, chunk: int):
    """A body that is given piece by piece says by itself where it ends."""
    plug = Pieces()
    pieces = [body[at : at + chunk] for at in range(0, len(body), chunk)]
    send(plug, "PUT", "/x?y=z", headers={"A": "b"}, body=[*pieces, b""])
    head, _, rest = plug.sent.partition(b"\r\n\r\n")

    assert [b"PUT /x?y=z HTTP/1.1", b"Host: docker", b"A: b"] == head.split(b"\r\n")[:3]
    assert b"Transfer-Encoding: chunked" in head
    assert chunked(body, chunk) == rest


def test_a_head_alone_leaves_what_follows():
    """What is read of a connection that becomes a stream is its head, and no byte of the stream."""
    plug = Pieces(b"HTTP/1.1 101 UPGRADED\r\nUpgrade: tcp\r\n\r\nhello")

    assert (101, b"hello") == (status_alone(plug), plug.said)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxy\r\nabc",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"\x15\x03\x01\x00\x02\x02\x16\r\n\r\n",
    ],
)
def test_what_breaks_off_or_is_no_http_is_an_error_of_the_system(said: bytes):
    """An answer that isn't whole is never taken for one, nor is what isn't HTTP."""
    with pytest.raises(OSError, match=r"broke off|doesn't speak HTTP"):
        Answer(Pieces(said)).read()


def chunked(body: bytes, size: int) -> bytes:
    """Return a body in chunks of this size."""
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in [*pieces, b""])
