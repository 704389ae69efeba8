"""A way to a Docker engine that can be cut: a socket whose connections go on to the engine's, until told otherwise."""

from __future__ import annotations

import shutil
import socket
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

_HEAD = 65_536


class CutWire:
    """Carries connections to the engine at `path`, on a Unix socket or by `tcp` on a port of this machine's loopback.

    What is cut is one request, before or after the engine had it.
    """

    def __init__(self, path: str, *, tcp: bool = False) -> None:
        # A socket's path is 107 bytes at most; a test's own folder may be longer.
        self._folder = Path(tempfile.mkdtemp(prefix="flow-wire-", dir="/tmp"))
        self._path = path
        #: How the next request begins that gets no answer, and whether the engine gets it.
        self._next: tuple[bytes, bool] | None = None
        self._listener = socket.socket(socket.AF_INET if tcp else socket.AF_UNIX)
        self._listener.bind(("127.0.0.1", 0) if tcp else f"{self._folder}/wire.sock")
        port = self._listener.getsockname()[1] if tcp else 0
        self.host = f"tcp://127.0.0.1:{port}" if tcp else f"unix://{self._folder}/wire.sock"
        self._listener.listen(64)
        self._open = {self._listener}
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, begins: bytes, *, after: bool) -> None:
        """Leave the next request that begins so without an answer; the engine gets it all the same if `after`."""
        self._next = (begins, after)

    def close(self) -> None:
        """End all connections."""
        for each in list(self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        shutil.rmtree(self._folder)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self._open.add(near)
            threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        far = socket.socket(socket.AF_UNIX)
        with near, far, suppress(OSError):
            first, named = near.recv(_HEAD), self._next
            is_cut = named is not None and first.startswith(named[0])
            if is_cut:
                self._next = None
            if not first or (is_cut and named is not None and not named[1]):
                return
            far.connect(self._path)
            self._open.add(far)
            far.sendall(first)
            asking = threading.Thread(target=_pump, args=(near, far), daemon=True)
            asking.start()
            if is_cut:
                far.recv(_HEAD)
                near.shutdown(socket.SHUT_RDWR)
            else:
                _pump(far, near)
            asking.join()
        self._open -= {near, far}


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(_HEAD):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
