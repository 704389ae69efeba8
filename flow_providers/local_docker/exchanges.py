"""HTTP/1.1 over a connection of its own for each request: as much of it as an engine's API takes.

The standard library's client would do, but loads e-mail's headers and TLS for it, which is half of the time that a
command here spends on its own provider. Source: RFC 9112.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flow_providers.local_docker.plugs import Plug

_MOST = 65_536
_END = b"\r\n\r\n"


class Answer:
    """What came back over `plug`: the status, the headers by their names in small letters, and the body as it comes."""

    def __init__(self, plug: Plug) -> None:
        """Read the head. Raises `OSError` where it isn't HTTP, or breaks off."""
        self._plug = plug
        self._ready = b""
        head = self._until(_END)
        self.status, self.headers = _read_head(head)
        #: The body as it comes, once. Raises `OSError` where it breaks off before its end.
        self.pieces = self._pieces()

    def read(self) -> bytes:
        """Return what of the body wasn't read yet."""
        return b"".join(self.pieces)

    def lines(self) -> Iterator[bytes]:
        """Yield the body's lines as they come, without their ends."""
        begun = b""
        for piece in self.pieces:
            *lines, begun = (begun + piece).split(b"\n")
            yield from lines
        yield begun

    def _pieces(self) -> Iterator[bytes]:
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            while size := _number(self._until(b"\r\n").partition(b";")[0], 16):
                yield from self._exactly(size)
                self._until(b"\r\n")
        elif "content-length" in self.headers:
            yield from self._exactly(_number(self.headers["content-length"].encode(), 10))
        elif self.status not in (204, 304):
            yield self._ready
            while data := self._plug.recv(_MOST):
                yield data

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._ready:
            self._ready += self._more()
        found, _, self._ready = self._ready.partition(mark)
        return found

    def _exactly(self, count: int) -> Iterator[bytes]:
        while count:
            if not self._ready:
                self._ready = self._more()
            piece, self._ready = self._ready[:count], self._ready[count:]
            count -= len(piece)
            yield piece

    def _more(self) -> bytes:
        data = self._plug.recv(_MOST)
        if not data:
            raise ConnectionResetError(0, "it broke off")
        return data


def send(
    plug: Plug,
    method: str,
    target: str,
    *,
    headers: Mapping[str, str],
    body: bytes | Iterable[bytes] | None = None,
) -> None:
    """Send a request; a body that is no bytes goes piece by piece, as its iterable gives it."""
    told = {"Host": "docker", **headers}
    if isinstance(body, bytes):
        told["Content-Length"] = str(len(body))
    elif body is not None:
        told["Transfer-Encoding"] = "chunked"
    elif method != "GET":
        told["Content-Length"] = "0"
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {text}" for name, text in told.items())]
    head = "\r\n".join(lines).encode("latin-1") + _END
    if isinstance(body, bytes):
        plug.sendall(head + body)
        return
    plug.sendall(head)
    for piece in body or ():
        if piece:
            plug.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
    if body is not None:
        plug.sendall(b"0" + _END)


def status_alone(plug: Plug) -> int:
    """Read an answer's head and not a byte more, for what follows belongs to a stream; return its status."""
    head = b""
    while not head.endswith(_END):
        byte = plug.recv(1)
        if not byte:
            raise ConnectionResetError(0, "it broke off")
        head += byte
    return _read_head(head)[0]


def _read_head(head: bytes) -> tuple[int, dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    words = first.split(None, 2)
    if not first.startswith("HTTP/1.") or len(words) < 2 or not words[1].isdecimal():
        raise OSError(0, "what answers there doesn't speak HTTP")
    pairs = (line.partition(":") for line in lines)
    return int(words[1]), {name.strip().lower(): text.strip() for name, _, text in pairs}


def _number(text: bytes, base: int) -> int:
    try:
        return int(text, base)
    except ValueError:
        raise OSError(0, "what answers there doesn't speak HTTP") from None
