"""A call that was made: where it stands, what it wrote, and what it came to."""

from __future__ import annotations

import json
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from typing import IO, Any

from attrs import Factory, define, field

from flow_adapters.python._pool_code import PackedFunction
from flow_core.domain.call import ResultFormat, Tries
from flow_core.errors import FlowError
from flow_core.node.call import frames, pickling

#: Answers beyond this many bytes wait in a file, not in memory.
SPILL_BYTES = 4 << 20
#: How much of what a call writes is kept for `logs()`, from its end.
LOG_BYTES = 1 << 20
#: The result of a call whose value waits in the file of its run, because it is large.
KEPT = object()


class RemoteError(FlowError):
    """An exception that couldn't travel as itself: its type's name, its words and its traceback are in the message."""


@define(eq=False, kw_only=True)
class Pending:
    """A call on its way. `request` returns its arguments as bytes; `keep` takes a good answer before it is loaded."""

    function: PackedFunction
    name: str
    request: Callable[[], bytes]
    form: ResultFormat
    timeout_s: float | None
    retries: int
    keep: Callable[[IO[bytes], int], None] | None = None
    future: Future[Any] = Factory(Future)
    tries: Tries = Factory(Tries)
    avoid: set[object] = field(factory=set)
    written: bytearray = field(factory=bytearray)
    #: How many bytes of what it wrote are not kept any more.
    forgotten: int = 0
    cancel_asked: bool = False
    #: Ends the talk that runs it; set while one does.
    stop: Callable[[], None] | None = None
    worker: str = ""
    lock: Any = field(factory=threading.Lock)
    #: Told whenever it has written something.
    news: Any = field(factory=threading.Condition)

    def frame(self, number: int, key: bytes) -> bytes:
        """Return the frame that makes the call."""
        about = {"form": self.form.value, "timeout": self.timeout_s, "ours": self.function.ours}
        words = json.dumps(about).encode()
        head = key + self.function.digest + len(words).to_bytes(4, "big") + words
        return frames.frame(frames.CALL, number, head + self.request())

    def hear(self, text: bytes | bytearray) -> None:
        """Keep what the call wrote, the end of it if it is much."""
        with self.news:
            self.written += text
            over = len(self.written) - LOG_BYTES
            if over > 0:
                del self.written[:over]
                self.forgotten += over
            self.news.notify_all()

    def lines(self) -> Iterator[str]:
        """Yield what it writes, line by line as it comes, until it has ended."""
        self.future.add_done_callback(lambda _: self.hear(b""))
        place, rest, has_ended = 0, b"", False
        while not has_ended:
            with self.news:
                while not self.future.done() and self.forgotten + len(self.written) == place:
                    self.news.wait()
                has_ended = self.future.done()
                data = bytes(self.written[max(0, place - self.forgotten) :])
                place = self.forgotten + len(self.written)
            *whole, rest = (rest + data).split(b"\n")
            for line in whole:
                yield line.decode("utf-8", "replace")
        if rest:
            yield rest.decode("utf-8", "replace")


class Answer:
    """What comes back of one call: bytes in memory or in a file, sealed with the call's key."""

    def __init__(self, number: int) -> None:
        self.key = os.urandom(frames.KEY_BYTES)
        self._seal = frames.seal_of(self.key, number)
        self._file: Any = tempfile.SpooledTemporaryFile(max_size=SPILL_BYTES)  # noqa: SIM115
        self.size = 0

    def add(self, piece: bytes | bytearray | memoryview) -> None:
        """Take the next piece."""
        self._seal.update(piece)
        self._file.write(piece)
        self.size += len(piece)

    def is_sealed(self, how: bytes, seal: bytes) -> bool:
        """Whether whoever has the key said all this, and that it ended so."""
        import hmac

        self._seal.update(how)
        return hmac.compare_digest(bytes(self._seal.digest()), bytes(seal))

    def opened(self) -> IO[bytes]:
        """Return the whole answer as a file, at its start."""
        self._file.seek(0)
        found: IO[bytes] = getattr(self._file, "_file", self._file)
        return found

    def close(self) -> None:
        """Drop it."""
        self._file.close()


def value_in(file: IO[bytes], form: ResultFormat) -> Any:
    """Return the value that a good answer holds."""
    import pickle

    if form is ResultFormat.JSON:
        return json.load(file)
    # Sealed with the call's key; a pickle is trusted as far as the node is, which the guide says.
    return pickle.load(file)  # noqa: S301


def error_in(how: bytes, data: bytes) -> BaseException:
    """Return the exception that an answer holds, with the remote traceback as its cause."""
    length = int.from_bytes(data[:4], "big")
    plain = json.loads(data[4 : 4 + length])
    error: BaseException = RemoteError(f"{plain['type']}: {plain['message']}")
    if how == frames.RAISED:
        with suppress(Exception):  # whatever the caller's own class does, its words are told
            error = pickling.loads(data[4 + length :])
    elif plain["module"] == "builtins":
        import builtins

        kind = getattr(builtins, plain["type"], None)
        if isinstance(kind, type) and issubclass(kind, Exception):
            with suppress(TypeError):
                error = kind(plain["message"])
    error.__cause__ = pickling.RemoteTraceback(plain["traceback"])
    return error
