"""A call that was made: where it stands, what it wrote, and what it came to."""

from __future__ import annotations

import json
import os
import queue
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
#: How many pieces of a large answer may wait to be written; each is as long as one reading.
_MOST_WAITING = 8
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
    """What comes back of one call: bytes in memory or in a file, sealed with the call's key.

    A large one is sealed and written by a thread of its own, so that the next piece is read meanwhile.
    """

    def __init__(self, number: int) -> None:
        self.key = os.urandom(frames.KEY_BYTES)
        self._seal = frames.seal_of(self.key, number)
        self._file: Any = tempfile.SpooledTemporaryFile(max_size=SPILL_BYTES)  # noqa: SIM115
        self._writer: _Writer | None = None
        self.size = 0

    def add(self, piece: bytes | bytearray | memoryview) -> None:
        """Take the next piece.

        Raises:
            OSError: there is no room for it, or for one before it.
        """
        self.size += len(piece)
        if self.size <= SPILL_BYTES:
            self._take(piece)
            return
        if self._writer is None:
            self._writer = _Writer(self._take)
        self._writer.put(piece)

    def is_sealed(self, how: bytes, seal: bytes) -> bool:
        """Whether whoever has the key said all this, and that it ended so.

        Raises:
            OSError: not all of it found room.
        """
        import hmac

        if self._writer is not None:
            self._writer.finish()
        self._seal.update(how)
        return hmac.compare_digest(bytes(self._seal.digest()), bytes(seal))

    def opened(self) -> IO[bytes]:
        """Return the whole answer as a file, at its start; only once it is known to be sealed."""
        self._file.seek(0)
        found: IO[bytes] = getattr(self._file, "_file", self._file)
        return found

    def close(self) -> None:
        """Drop it."""
        if self._writer is not None:
            with suppress(OSError):
                self._writer.finish()
        self._file.close()

    def _take(self, piece: bytes | bytearray | memoryview) -> None:
        self._seal.update(piece)
        self._file.write(piece)


class _Writer:
    """A thread that takes pieces one after the other; a few may wait for it."""

    def __init__(self, take: Callable[[Any], None]) -> None:
        self._take = take
        self._waiting: queue.Queue[Any] = queue.Queue(maxsize=_MOST_WAITING)
        self._trouble: OSError | None = None
        self._thread = threading.Thread(target=self._run, name="flow-answer", daemon=True)
        self._thread.start()

    def put(self, piece: Any) -> None:
        self._waiting.put(piece)
        self._raise()

    def finish(self) -> None:
        if self._thread.is_alive():
            self._waiting.put(None)
            self._thread.join()
        self._raise()

    def _run(self) -> None:
        while (piece := self._waiting.get()) is not None:
            if self._trouble is None:  # else what comes is dropped, so that nobody waits
                try:
                    self._take(piece)
                except OSError as trouble:
                    self._trouble = trouble

    def _raise(self) -> None:
        if self._trouble is not None:
            raise self._trouble


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
