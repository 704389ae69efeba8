"""`map`: many calls of one function over some nodes, kept on disk so that a killed program loses nothing finished.

A run is dropped once all was taken out, or when whoever asked for it lost interest (closed it, left the loop). It stays
where an exception or Ctrl-C ended it, or the whole program was killed.
"""

from __future__ import annotations

import concurrent.futures
import os
import sys
import threading
from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from flow_adapters.python._function_call import FunctionCall
from flow_adapters.python._pool_call import KEPT
from flow_adapters.python._pool_code import packed_arguments
from flow_adapters.python._pool_runs import Run, begin_run, open_run

if TYPE_CHECKING:
    from flow_adapters.python._app import App
    from flow_adapters.python._function import Function

R = TypeVar("R")
#: How many calls are under way at the most, for each node, beyond what has been taken out.
AHEAD = 16


class Results(Generic[R]):
    """The results of a run of `map`, as an iterator. `run_id` names it for `App.resume`; empty in memory."""

    def __init__(
        self,
        function: Function[Any, R],
        run: Run,
        *,
        concurrency: int,
        in_order: bool,
        return_exceptions: bool,
        progress: bool | None,
    ) -> None:
        self.run_id = run.id
        self._function = function
        self._run = run
        self._concurrency = concurrency
        self._return_exceptions = return_exceptions
        self._calls: dict[int, FunctionCall[R]] = {}
        shows = sys.stderr.isatty() if progress is None else progress
        self._progress = _Progress(function.name, run.count, shows=shows)
        self._found = self._ordered() if in_order else self._as_completed()

    def __iter__(self) -> Iterator[R]:
        return self

    def __next__(self) -> R:
        try:
            found = next(self._found)
        except StopIteration:
            self._end(drop=True)
            raise
        except BaseException:
            self._end(drop=False)
            raise
        return found

    def __len__(self) -> int:
        return self._run.count

    def close(self) -> None:
        """Stop what runs and drop what is kept; what was taken out stays with whoever took it."""
        self._end(drop=True)

    def __del__(self) -> None:
        if not sys.is_finalizing() and self._calls:
            self._end(drop=True)

    def _ordered(self) -> Iterator[R]:
        ahead, begun = AHEAD * self._concurrency, 0
        for number in range(self._run.count):
            while begun < min(self._run.count, number + ahead):
                self._begin(begun)
                begun += 1
            yield self._value(number)

    def _as_completed(self) -> Iterator[R]:
        import queue

        ready: queue.SimpleQueue[int] = queue.SimpleQueue()
        begun, ahead = 0, AHEAD * self._concurrency
        for taken in range(self._run.count):
            while begun < min(self._run.count, taken + ahead):
                self._begin(begun)
                call = self._calls.get(begun)
                if call is None:
                    ready.put(begun)
                else:
                    call.add_done_callback(partial(_put, ready, begun))
                begun += 1
            yield self._value(ready.get())

    def _begin(self, number: int) -> None:
        if self._run.has(number):
            self._progress.note(None)
            return
        self._calls[number] = call = self._function.app.begin(
            self._function,
            partial(self._run.request, number),
            limit=self._concurrency,
            keep=self._run.keeper(number),
        )
        call.add_done_callback(self._progress.note)

    def _value(self, number: int) -> Any:
        call = self._calls.get(number)
        problem = None if call is None else call.exception()
        found: object = KEPT
        if call is not None:
            del self._calls[number]
            if problem is None:
                found = call.result()
        if problem is None and found is not KEPT:
            return found
        if problem is None:
            try:
                return self._run.value(number, self._function.options.form)
            except Exception as error:  # noqa: BLE001  (a result that can't be loaded is the call's own trouble)
                problem = error
        is_theirs = isinstance(problem, Exception) and not isinstance(
            problem, concurrent.futures.CancelledError
        )
        if self._return_exceptions and is_theirs:
            return problem
        raise problem

    def _end(self, *, drop: bool) -> None:
        calls, self._calls = self._calls, {}
        self._progress.end()
        for call in reversed(calls.values()):
            call.cancel()
        self._found = iter(())
        if drop:
            self._run.drop()
        else:
            self._run.leave()


class _Progress:
    """A line on stderr: how many calls have ended, however many results were taken out."""

    def __init__(self, name: str, count: int, *, shows: bool) -> None:
        self._name, self._count = name, count
        self._lock = threading.Lock()
        self._ended = self._failed = 0
        self._is_open = shows
        self._show()

    def note(self, call: FunctionCall[Any] | None) -> None:
        """Count a call that ended; None for one whose result was there."""
        with self._lock:
            self._ended += 1
            self._failed += call is not None and call.exception() is not None
            if (
                self._ended == self._count
                or self._ended * 200 // self._count > (self._ended - 1) * 200 // self._count
            ):
                self._show()

    def end(self) -> None:
        """Leave the line as it stands."""
        with self._lock:
            if self._is_open:
                sys.stderr.write("\n")
            self._is_open = False

    def _show(self) -> None:
        if self._is_open:
            failed = f", {self._failed:,} failed" if self._failed else ""
            sys.stderr.write(f"\r{self._name}: {self._ended:,} of {self._count:,}{failed}")
            sys.stderr.flush()


def start(
    function: Function[Any, R], inputs: Iterable[Iterable[Any]], **options: Any
) -> Results[R]:
    """Begin a run over all `inputs`, which are read to their end first.

    Raises:
        InvalidRequest: an argument can't be pickled; nothing runs.
    """
    requests = (packed_arguments(tuple(each), {}) for each in inputs)
    about = {"app": function.app.name, "function": function.name, **options}
    run = begin_run(None if function.app.in_memory() else os.environ, about, requests)
    return Results(function, run, **options)


def resume(app: App, run_id: str) -> Results[Any]:
    """Go on with a run that was begun by another process.

    Raises:
        NotFound: it isn't kept here, or the App has no function of that name.
        Conflict: another process is working on it.
    """
    from flow_core.errors import NotFound

    run, about = open_run(os.environ, run_id)
    name = about.pop("function")
    about.pop("app")
    if name not in app.functions:
        raise NotFound(
            f"run {run_id!r} calls {name!r}, which {app.name!r} has not",
            hint="resume it with the App whose function it calls",
        )
    return Results(app.functions[name], run, **about)


def _put(ready: Any, number: int, call: object) -> None:
    ready.put(number)
