"""Connections whose writing can end while their reading goes on, by TLS too.

Whoever sends a command its input has to say where that ends, and goes on to read what comes of it. Python's own TLS
sockets can't do that: to end writing there is to end the encryption both ways. So TLS is done here over buffers, a
record at a time: nothing is then unread when the end is said, which OpenSSL would take for an error.
"""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import suppress
from typing import Protocol

#: Type, version, and length of what follows. Source: RFC 8446, section 5.1.
_HEADER = 5
_MOST = 65_536


class Plug(Protocol):
    """What is used of a socket."""

    def recv(self, count: int, /) -> bytes:
        """Return up to so many bytes; none at the end. `TimeoutError` after `settimeout`'s seconds of silence."""
        ...

    def sendall(self, data: bytes, /) -> None:
        """Send all of it."""
        ...

    def shutdown(self, how: int, /) -> None:
        """End writing, or both ways."""
        ...

    def settimeout(self, seconds: float | None, /) -> None:
        """Say how long silence may last."""
        ...

    def close(self) -> None:
        """Let the connection go."""
        ...


class TlsPlug:
    """A `Plug` by TLS over `plug`; one thread may send while another receives."""

    def __init__(self, plug: socket.socket, context: ssl.SSLContext, host: str) -> None:
        """Shake hands. Raises `OSError`, of which `ssl.SSLError` is one."""
        self._plug = plug
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_hostname=host)
        self._state, self._sending = threading.Lock(), threading.Lock()
        self._begun = self._ready = b""
        while not self._has_shaken():
            self._send()
            record = self._record()
            if not record:
                raise ConnectionResetError(0, "it broke off")
            self._in.write(record)
        self._send()

    def recv(self, count: int, /) -> bytes:
        """See `Plug.recv`."""
        while not self._ready:
            try:
                with self._state:
                    self._ready = self._tls.read(_MOST)
                    if not self._ready:
                        return b""
            except ssl.SSLWantReadError:
                record = self._record()
                if not record:
                    return b""
                with self._state:
                    self._in.write(record)
            except ssl.SSLZeroReturnError:
                return b""
        found, self._ready = self._ready[:count], self._ready[count:]
        return found

    def sendall(self, data: bytes, /) -> None:
        """See `Plug.sendall`."""
        left = memoryview(data)
        with self._sending:
            while left:
                with self._state:
                    left = left[self._tls.write(left) :]
                self._send()

    def shutdown(self, how: int, /) -> None:
        """See `Plug.shutdown`."""
        if how != socket.SHUT_WR:
            self._plug.shutdown(how)
            return
        with self._sending:
            # The other side's own end is still to come.
            with self._state, suppress(ssl.SSLError):
                self._tls.unwrap()
            self._send()

    def settimeout(self, seconds: float | None, /) -> None:
        """See `Plug.settimeout`."""
        self._plug.settimeout(seconds)

    def close(self) -> None:
        """See `Plug.close`."""
        self._plug.close()

    def _has_shaken(self) -> bool:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def _send(self) -> None:
        with self._state:
            data = self._out.read()
        if data:
            self._plug.sendall(data)

    def _record(self) -> bytes:
        """Return the next whole record, b"" at the end; what has come of one when a timeout strikes is kept."""
        while True:
            size = _HEADER
            if len(self._begun) >= _HEADER:
                size += int.from_bytes(self._begun[3:_HEADER], "big")
                if len(self._begun) == size:
                    record, self._begun = self._begun, b""
                    return record
            data = self._plug.recv(size - len(self._begun))
            if not data:
                return b""
            self._begun += data
