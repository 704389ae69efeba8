"""A pool on a cloud in memory: workers are placed, granted and preempted there, and calls run here, when they are made.

A call waits, in the cloud's time, for its worker to run. It goes through the same bytes as on a node, so that what
can't travel is found by a test suite. What it prints is kept for `logs()`, and printed.
"""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stdout, suppress
from datetime import datetime
from typing import Any

from attrs import define

from flow_adapters.python._pool_call import Pending, error_in, value_in
from flow_adapters.python._task import Cancelled
from flow_core.domain.call import Ending, WorkerNeeds
from flow_core.errors import FlowError, InvalidRequest
from flow_core.node.call import frames, pickling, running
from flow_core.services.calls import Calls
from flow_core.services.session import Session


@define
class _Standing:
    token: str
    name: str
    seen_at: datetime


class MemoryPool:
    """Serves calls in this process, on workers that exist in memory."""

    def __init__(self, session: Session, needs: WorkerNeeds, *, app: str, function: str) -> None:
        self._calls = Calls(session.ports)
        self._clock = session.ports.clock
        self._needs = needs
        self._app, self._function = app, function
        self._workers: list[_Standing] = []
        self._turn = 0
        self._functions: dict[bytes, Any] = {}
        self._is_closed = False

    def put(self, call: Pending, *, limit: int) -> None:
        """Run `call` now; the next of at most `limit` workers is its node."""
        if self._is_closed:
            raise RuntimeError("the App was closed; no call can be made any more")
        while not call.future.done():
            try:
                worker = self._worker(limit)
                call.worker = call.worker or worker.name
                self._run(call)
            except FlowError as problem:
                call.future.set_exception(problem)

    def cancel(self, call: Pending) -> bool:
        """Return whether the call was cancelled: it has ended, so no."""
        return call.future.cancelled()

    def close(self) -> None:
        """End all workers."""
        self._is_closed = True
        for worker in self._workers:
            with suppress(FlowError):
                self._calls.dismiss(worker.token)

    def _worker(self, limit: int) -> _Standing:
        """Return the worker whose turn it is, running: looked at again whenever time has passed."""
        self._turn += 1
        if len(self._workers) < limit:
            spec = self._calls.spec(self._needs, app=self._app, function=self._function, code=None)
            token = self._calls.hire(spec)
            never = datetime.min.replace(tzinfo=self._clock.now().tzinfo)
            self._workers.append(_Standing(token, self._calls.name(token), never))
            worker = self._workers[-1]
        else:
            worker = self._workers[self._turn % len(self._workers)]
        if worker.seen_at != self._clock.now():
            try:
                self._calls.node(worker.token, is_wanted=lambda: True)
            except FlowError:
                self._workers.remove(worker)
                raise
            worker.seen_at = self._clock.now()
        return worker

    def _run(self, call: Pending) -> None:
        digest = call.function.digest
        if digest not in self._functions:
            self._functions[digest] = pickling.loads(call.function.data)
        said = _Tee()
        answer = io.BytesIO()
        with redirect_stdout(said):
            how, value = running.outcome(self._functions[digest], call.request())
        call.hear(said.getvalue().encode("utf-8", "surrogateescape"))
        try:
            how = running.write(how, value, answer, call.form.value, frozenset(call.function.ours))
        except pickling.Unpicklable as problem:
            call.future.set_exception(InvalidRequest({"result": str(problem)}))
            return
        answer.seek(0)
        if how == frames.VALUE:
            if call.keep is not None:
                call.keep(answer, len(answer.getvalue()))
                answer.seek(0)
            call.future.set_result(value_in(answer, call.form))
            return
        call.tries = call.tries.after(Ending.RAISED)
        if call.cancel_asked:
            call.future.set_exception(Cancelled(f"the call of {call.name} was cancelled"))
        elif not call.tries.may_begin_again(call.retries):
            call.future.set_exception(error_in(how, answer.getvalue()))


class _Tee(io.StringIO):
    def __init__(self) -> None:
        super().__init__()
        self._beside = sys.stdout

    def write(self, text: str) -> int:
        self._beside.write(text)
        return super().write(text)
