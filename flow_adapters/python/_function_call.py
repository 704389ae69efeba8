"""A call of a function as Python holds it: a handle that behaves as `concurrent.futures.Future` does."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar, cast, overload

from flow_adapters.python._task import TimedOut

if TYPE_CHECKING:
    from flow_adapters.python._pool_call import Pending

R = TypeVar("R")


class CallPool(Protocol):
    """What serves calls."""

    def put(self, call: Pending, *, limit: int) -> None:
        """Have a call served, by one of at most `limit` workers."""
        ...

    def cancel(self, call: Pending) -> bool:
        """Stop a call; False if it had ended before."""
        ...

    def close(self) -> None:
        """End all workers."""
        ...


class FunctionCall(Generic[R]):
    """A call that was made with `spawn`; it goes on by itself, and `await` works on it too."""

    def __init__(self, pool: CallPool, call: Pending) -> None:
        self._pool = pool
        self._call = call

    @property
    def worker(self) -> str:
        """The name of the task that serves it first; empty before one does."""
        return self._call.worker

    def result(self, timeout: float | None = None) -> R:
        """Wait for what the function returns, and return it; raise what it raised.

        An exception has its own type, and a `RemoteTraceback` as its cause.

        Raises:
            TimedOut: `timeout` real seconds passed; also when the function ran longer than its own timeout.
            Cancelled: it was cancelled; also a `concurrent.futures.CancelledError`.
            NodeUnreachable, TaskFailed: its node or process was lost too often.
        """
        self._wait(timeout)
        return cast(R, self._call.future.result())

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait for the end and return what `result` would raise, None after success."""
        self._wait(timeout)
        return self._call.future.exception()

    def done(self) -> bool:
        """Whether it has ended, however it did."""
        return self._call.future.done()

    def running(self) -> bool:
        """Whether a node runs it now."""
        return self._call.stop is not None and not self.done()

    def cancelled(self) -> bool:
        """Whether it ended by being cancelled."""
        future = self._call.future
        return future.done() and isinstance(future.exception(), concurrent.futures.CancelledError)

    def cancel(self) -> bool:
        """Stop it, running or not; False if it had ended before. The node stays warm."""
        return self._pool.cancel(self._call)

    @overload
    def logs(self) -> list[str]: ...

    @overload
    def logs(self, *, follow: Literal[True]) -> Iterator[str]: ...

    def logs(self, *, follow: bool = False) -> list[str] | Iterator[str]:
        """Return the lines that it has printed so far, the last mebibyte of them; its worker's log has all.

        With `follow`, iterating goes on until the call has ended.
        """
        if follow:
            return self._call.lines()
        return bytes(self._call.written).decode("utf-8", "replace").splitlines()

    def add_done_callback(self, fn: Callable[[FunctionCall[R]], object]) -> None:
        """Call `fn(call)` once it has ended, from another thread, or at once if it has."""
        self._call.future.add_done_callback(lambda _: fn(self))

    def __await__(self) -> Generator[Any, None, R]:
        import asyncio

        future = asyncio.wrap_future(cast("concurrent.futures.Future[R]", self._call.future))
        try:
            return (yield from asyncio.shield(future).__await__())
        except asyncio.CancelledError:
            self.cancel()
            raise

    def _wait(self, timeout: float | None) -> None:
        done, _ = concurrent.futures.wait([self._call.future], timeout)
        if not done:
            raise TimedOut(f"the call of {self._call.name} had not ended after {timeout:g} s")

    def __repr__(self) -> str:
        state = "done" if self.done() else "running" if self.running() else "waiting"
        return f"<flow.FunctionCall {self._call.name} {state}>"


def gather(*calls: FunctionCall[R], return_exceptions: bool = False) -> list[R]:
    """Return what all calls return, in their order; the first failure raises, or is among them."""
    found: list[Any] = []
    for call in calls:
        problem = call.exception() if return_exceptions else None
        found.append(problem if problem is not None else call.result())
    return found
