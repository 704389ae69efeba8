"""An event loop in one background thread: started by the first who needs it, gone when the program is.

Callers have no `await`: they hand in a coroutine and wait for what it returns. A loop that already runs in the caller's
own thread, as in a notebook, is neither used nor disturbed. asyncio itself loads with the first call.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import asyncio
    from concurrent.futures import Future

Done = TypeVar("Done")
#: How long what was begun in the room may take to end with the program.
LEAVING_S = 8.0
#: How often a waiting caller wakes; on Windows only then does Ctrl-C get through.
_GLANCE_S = 1.0


class Room:
    """A place for coroutines. `at_close` is awaited in it, last, before it closes."""

    def __init__(self, *, at_close: Callable[[], Awaitable[None]] | None = None) -> None:
        self._at_close = at_close
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._process = 0

    def runs(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether `loop` is this room's, and not closed since, nor left behind in another process."""
        return self._loop is loop and self._process == os.getpid()

    def loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop, which runs; a process made by fork gets one of its own."""
        with self._lock:
            if self._loop is None or self._process != os.getpid():
                self._open()
            assert self._loop is not None
            return self._loop

    def run(self, work: Coroutine[Any, Any, Done]) -> Done:
        """Return what `work` returns or raise what it raises; Ctrl-C cancels it."""
        import asyncio
        from concurrent.futures import TimeoutError as NotYet

        future: Future[Done] = asyncio.run_coroutine_threadsafe(work, self.loop())
        try:
            while True:
                try:
                    return future.result(timeout=_GLANCE_S)
                except NotYet:
                    if future.done():
                        raise
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """End what goes on in the room, and its thread; the next use opens it again."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        atexit.unregister(self.close)
        if loop is None or thread is None or self._process != os.getpid():
            return
        import asyncio

        asyncio.run_coroutine_threadsafe(self._leave(loop), loop)
        thread.join(LEAVING_S + 2)

    def _open(self) -> None:
        import asyncio

        loop = asyncio.new_event_loop()

        def run() -> None:
            asyncio.set_event_loop(loop)
            try:
                loop.run_forever()
            finally:
                loop.close()

        # A daemon, because the interpreter waits for other threads before it calls `close`.
        thread = threading.Thread(target=run, name="flow-ssh", daemon=True)
        thread.start()
        self._loop, self._thread, self._process = loop, thread, os.getpid()
        atexit.register(self.close)

    async def _leave(self, loop: asyncio.AbstractEventLoop) -> None:
        import asyncio

        try:
            if self._at_close is not None:
                await asyncio.wait_for(self._at_close(), LEAVING_S)
            others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in others:
                task.cancel()
            if others:
                await asyncio.wait(others, timeout=1)
        except asyncio.TimeoutError:
            return
        finally:
            loop.stop()
