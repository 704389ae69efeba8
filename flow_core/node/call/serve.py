"""The server of one talk on a node: reads calls, runs them one after the other, writes what comes of them.

Its input's end ends it, at once: whatever runs gets KeyboardInterrupt, and five seconds. What the user's code prints
goes to the task's log as ever, and to the caller. The user's Python runs it; 3.8 or later.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import queue
import signal
import sys
import threading
from typing import Any

from flow_core.node.call import frames, pickling, running

_GRACE_S = 5
_TIMED_OUT = 124


class Server:
    """Serves the talk on two descriptors."""

    def __init__(self, source: int, sink: int) -> None:
        self._source, self.sink = source, sink
        with contextlib.suppress(OSError, AttributeError):
            fcntl.fcntl(sink, 1031, 1 << 20)  # F_SETPIPE_SZ: fewer turns for a large result
        self._todo: Any = queue.SimpleQueue()
        self._functions: dict[bytes, Any] = {}
        self.writing = threading.Lock()
        self._running = self._late = False
        self._grace: Any = None
        self.number = 0

    def main(self) -> None:
        """Serve until the input ends."""
        about = {"python": platform.python_version(), "pid": os.getpid()}
        self.send(frames.HELLO, 0, json.dumps(about).encode())
        signal.signal(signal.SIGINT, signal.default_int_handler)
        threading.Thread(target=self._read, daemon=True).start()
        sys.stdout, sys.stderr = _Tee(sys.stdout, self), _Tee(sys.stderr, self)
        while True:
            try:
                item = self._todo.get()
                if item is None:
                    os._exit(0)
                self._serve(*item)
            except KeyboardInterrupt:
                if not self._late:
                    os._exit(130)

    def send(self, kind: int, number: int, data: Any = b"") -> None:
        """Write a frame whole."""
        with self.writing:
            head = frames.HEAD.pack(kind, number, len(data))
            _write(self.sink, head + data + frames.NEWLINE)

    def _read(self) -> None:
        cut = frames.Frames()
        while True:
            data = os.read(self._source, 1 << 16)
            if not data:
                break
            for kind, number, body in cut.feed(data):
                self._todo.put((kind, number, bytes(body)))
        self._todo.put(None)
        if self._running:
            self._interrupt(130)

    def _interrupt(self, code: int) -> None:
        self._grace = threading.Timer(_GRACE_S, os._exit, (code,))
        self._grace.daemon = True
        self._grace.start()
        main = threading.main_thread().ident
        if main is not None:
            signal.pthread_kill(main, signal.SIGINT)  # so that it wakes from a sleep

    def _expire(self) -> None:
        if self._running:
            self._late = True
            self._interrupt(_TIMED_OUT)

    def _serve(self, kind: int, number: int, body: bytes) -> None:
        if kind == frames.FUNCTION:
            self._functions[body[: frames.DIGEST_BYTES]] = body[frames.DIGEST_BYTES :]
            return
        key, digest = body[: frames.KEY_BYTES], body[frames.KEY_BYTES :][: frames.DIGEST_BYTES]
        rest = body[frames.KEY_BYTES + frames.DIGEST_BYTES :]
        length = int.from_bytes(rest[:4], "big")
        about, request = json.loads(rest[4 : 4 + length]), rest[4 + length :]
        self.number, self._late, self._running = number, False, True
        timeout = about.get("timeout")
        timer = threading.Timer(timeout, self._expire) if timeout else None
        if timer:
            timer.daemon = True
            timer.start()
        try:
            how, value = self._outcome(digest, request)
        except KeyboardInterrupt:
            if not self._late:
                raise
            self._grace.cancel()
            how, value = frames.RAISED, running.TimedOut("ran longer than %g s" % timeout)
        finally:
            self._running = False
            if timer:
                timer.cancel()
        self._answer(number, key, how, value, about)

    def _outcome(self, digest: bytes, request: bytes) -> tuple[bytes, Any]:
        function = self._functions[digest]
        if isinstance(function, bytes):
            try:
                function = self._functions[digest] = pickling.loads(function)
            except Exception as error:
                return frames.RAISED, error
        return running.outcome(function, request)

    def _answer(self, number: int, key: bytes, how: bytes, value: Any, about: Any) -> None:
        answer = _Answer(self, number, key)
        try:
            how = running.write(how, value, answer, about["form"], frozenset(about["ours"]))
        except pickling.Unpicklable as problem:
            self.send(frames.FLAW, number, str(problem).encode("utf-8", "replace"))
            return
        answer.end(how)


class _Answer:
    """A file whose bytes become sealed pieces of an answer as they are written; small ones travel with its end."""

    def __init__(self, server: Server, number: int, key: bytes) -> None:
        self._server, self._number = server, number
        self._seal = frames.seal_of(key, number)
        self._small = bytearray()

    def write(self, data: Any) -> int:
        """Take some bytes."""
        view = memoryview(data).cast("B")
        if len(self._small) + len(view) <= frames.LARGEST_PIECE:
            self._small += view
            return len(view)
        self._flush()
        for place in range(0, len(view), frames.LARGEST_PIECE):
            self._send(view[place : place + frames.LARGEST_PIECE])
        return len(view)

    def end(self, how: bytes) -> None:
        """Say how the call ended."""
        if self._small:
            self._seal.update(self._small)
        self._seal.update(how)
        server, number = self._server, self._number
        with server.writing:
            head = frames.frame(frames.PIECE, number, bytes(self._small)) if self._small else b""
            end = frames.frame(frames.END, number, how + self._seal.digest())
            _write(server.sink, head + end + frames.NEWLINE)

    def _flush(self) -> None:
        if self._small:
            self._send(memoryview(bytes(self._small)))
            self._small = bytearray()

    def _send(self, piece: memoryview) -> None:
        self._seal.update(piece)
        server = self._server
        with server.writing:
            _write(server.sink, frames.HEAD.pack(frames.PIECE, self._number, len(piece)))
            _write(server.sink, piece)


class _Tee:
    """A text stream that also goes to the caller."""

    def __init__(self, stream: Any, server: Server) -> None:
        self._stream, self._server = stream, server

    def write(self, text: str) -> int:
        """Write to both."""
        self._stream.write(text)
        if text:
            self._server.send(
                frames.OUT, self._server.number, text.encode("utf-8", "surrogateescape")
            )
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _write(sink: int, data: Any) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(sink, view) :]
        except BrokenPipeError:
            os._exit(0)


def main(source: int, sink: int) -> None:
    """Serve the talk on these descriptors until it ends."""
    Server(source, sink).main()
