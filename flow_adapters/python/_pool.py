"""A pool of workers: each a task with a thread here that talks with its node, taking calls from one queue.

A worker that failed a call doesn't get it again while there is another. Threads never hold the lock while they wait for
a node. Whoever closes the pool, or lets it idle, ends the workers' tasks.
"""

from __future__ import annotations

import json
import platform
import queue
import threading
from collections import deque
from contextlib import suppress
from typing import Any

from flow_adapters.python._pool_call import (
    KEPT,
    SPILL_BYTES,
    Answer,
    Pending,
    error_in,
    value_in,
)
from flow_adapters.python._pool_code import program_folder
from flow_adapters.python._task import Cancelled, TimedOut
from flow_core.domain.allocation import Node
from flow_core.domain.call import Ending, WorkerNeeds
from flow_core.domain.run import Stream
from flow_core.errors import FlowError, InvalidRequest, Misconfigured, NodeUnreachable, TaskFailed
from flow_core.node.call import frames
from flow_core.ports.shell import NodeExit, NodeLost, NodeOutput
from flow_core.services.calls import Calls
from flow_core.services.session import Session

#: How the door says that the server died while the worker lives; see `flow_core/node/call/door.py`.
_DIED = 70
#: Real seconds that a worker's end may take at the App's: its placing is waited for, and so is its withdrawal.
_ENDING_S = 60


class Pool:
    """Serves calls on workers of one kind."""

    def __init__(self, session: Session, needs: WorkerNeeds, *, app: str, function: str) -> None:
        self._calls = Calls(session.ports)
        self._needs = needs
        self._app, self._function = app, function
        self._lock = threading.Condition()
        self._waiting: deque[Pending] = deque()
        self._workers: list[_Worker] = []
        self._idle = 0
        self._is_closed = False

    def put(self, call: Pending, *, limit: int) -> None:
        """Have `call` served by one of at most `limit` workers, hired as needed; returns at once."""
        with self._lock:
            if self._is_closed:
                raise RuntimeError("the App was closed; no call can be made any more")
            self._waiting.append(call)
            self._grow(limit)
            self._lock.notify()

    def cancel(self, call: Pending) -> bool:
        """Stop a call, running or not; False if it had ended before."""
        with self._lock:
            if call.future.done():
                return call.future.cancelled()
            call.cancel_asked = True
            if call in self._waiting:
                self._waiting.remove(call)
                _fail(call, Cancelled(f"the call of {call.name} was cancelled"))
                return True
            stop = call.stop
        if stop is not None:
            stop()
        return True

    def close(self) -> None:
        """End all workers; calls that wait or run are cancelled."""
        with self._lock:
            self._is_closed = True
            waiting, self._waiting = list(self._waiting), deque()
            workers = list(self._workers)
            self._lock.notify_all()
        for call in waiting:
            _fail(call, Cancelled(f"the call of {call.name} was cancelled: its App was closed"))
        for worker in workers:
            worker.close()
        for worker in workers:
            worker.join(_ENDING_S)

    def take(self, worker: _Worker, *, seconds: float | None) -> Pending | None:
        """Return the next call for `worker`, or None when there was none for so long, or ever will be."""
        with self._lock:
            self._idle += 1
            try:
                while not self._is_closed:
                    call = self._fitting(worker)
                    if call is not None:
                        return call
                    if not self._lock.wait(seconds):
                        return None
            finally:
                self._idle -= 1
        return None

    def give_back(
        self, call: Pending, worker: _Worker, ending: Ending, problem: BaseException
    ) -> None:
        """Have a call that came to no end begin again, on another worker if there is one, or fail with `problem`."""
        call.tries = call.tries.after(ending)
        if call.cancel_asked or self._is_closed:
            _fail(call, Cancelled(f"the call of {call.name} was cancelled"))
        elif not call.tries.may_begin_again(call.retries):
            _fail(call, problem)
        else:
            with self._lock:
                call.avoid.add(worker)
                self._waiting.appendleft(call)
                self._lock.notify_all()

    def is_wanted(self) -> bool:
        """Whether anyone waits for a worker."""
        return not self._is_closed and bool(self._waiting)

    def leave(self, worker: _Worker, problem: BaseException | None) -> None:
        """Take note that a worker is no more; the last one to fail takes the waiting calls with it."""
        with self._lock:
            self._workers.remove(worker)
            orphans: list[Pending] = []
            if problem is not None and not self._workers:
                orphans, self._waiting = list(self._waiting), deque()
            elif self._waiting and not self._workers and not self._is_closed:
                self._grow(1)
            self._lock.notify_all()
        for call in orphans:
            _fail(call, problem or NodeUnreachable("the worker has gone"))

    @property
    def is_closed(self) -> bool:
        """Whether it takes no calls any more."""
        return self._is_closed

    def _fitting(self, worker: _Worker) -> Pending | None:
        for place, call in enumerate(self._waiting):
            if worker not in call.avoid or all(each in call.avoid for each in self._workers):
                del self._waiting[place]
                return call
        return None

    def _grow(self, limit: int) -> None:
        coming = sum(not each.is_ready for each in self._workers)
        while len(self._workers) < limit and len(self._waiting) > self._idle + coming:
            worker = _Worker(self, self._calls, self._needs, self._app, self._function)
            self._workers.append(worker)
            coming += 1
            worker.start()


class _Worker(threading.Thread):
    """One worker's task, and the talk with it."""

    def __init__(
        self, pool: Pool, calls: Calls, needs: WorkerNeeds, app: str, function: str
    ) -> None:
        super().__init__(name=f"flow-{app}-{function}", daemon=True)
        self._pool, self._calls, self._needs = pool, calls, needs
        self._app, self._function = app, function
        self._token: str | None = None
        self._task = ""
        self._outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self.is_ready = False

    def run(self) -> None:
        """Hire, talk for as long as there are calls, dismiss."""
        problem: BaseException | None = None
        try:
            with program_folder() as folder:
                spec = self._calls.spec(
                    self._needs, app=self._app, function=self._function, code=folder
                )
                self._token = self._calls.hire(spec)
            self._task = self._calls.name(self._token)
            while True:
                node = self._calls.node(self._token, is_wanted=self._is_wanted)
                if node is None or not self._talk(node):
                    break
        except Exception as error:  # noqa: BLE001  (told to whoever waits for a call)
            problem = error
        finally:
            self._dismiss()
            self._pool.leave(self, problem)

    def _is_wanted(self) -> bool:
        """Whether to wait for the node: for a call, or because it is warm still."""
        if self._pool.is_closed or self._token is None:
            return False
        return self._pool.is_wanted() or (self.is_ready and self._calls.is_running(self._token))

    def close(self) -> None:
        """End the worker: its own thread sees to it where it talks, so that many end at once."""
        self._outbox.put(None)
        if not self.is_ready:
            self._dismiss()

    def _dismiss(self) -> None:
        if self._token is not None:
            with suppress(FlowError):
                self._calls.dismiss(self._token)

    def _talk(self, node: Node) -> bool:
        """Talk until there are no calls, or the talk breaks off; return whether to begin another."""
        outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._outbox = outbox
        talk = _Talk(self, outbox)
        events = self._calls.talk(node, iter(outbox.get, None))
        try:
            for event in events:
                if isinstance(event, NodeOutput):
                    if event.stream is Stream.OUT:
                        talk.hear(event.data)
                    else:
                        talk.words = (talk.words + event.data)[-2000:]
                elif isinstance(event, NodeExit):
                    talk.over(Ending.DIED if event.code == _DIED else Ending.LOST, talk.said())
                elif isinstance(event, NodeLost):
                    talk.over(Ending.LOST, event.reason)
        finally:
            outbox.put(None)
            events.close()
            talk.over(Ending.LOST, "the talk broke off")
        return not talk.is_idle

    def next_call(self) -> Pending | None:
        """Return the next call that somebody still wants."""
        self.is_ready = True
        while True:
            call = self._pool.take(self, seconds=self._needs.keep_warm)
            if call is None:
                return None
            with call.lock:
                if not call.cancel_asked:
                    call.worker = call.worker or self._task
                    return call
            _fail(call, Cancelled(f"the call of {call.name} was cancelled"))

    def give_back(self, call: Pending, ending: Ending, problem: BaseException) -> None:
        """Have the pool decide what follows."""
        self._pool.give_back(call, self, ending, problem)


class _Talk:
    """One talk's state: which functions the node has, which call it runs, what came back of it so far."""

    def __init__(self, worker: _Worker, outbox: queue.SimpleQueue[bytes | None]) -> None:
        self._worker, self._outbox = worker, outbox
        self._frames = frames.Frames()
        self._sent: set[bytes] = set()
        self._call: Pending | None = None
        self._answer: Answer | None = None
        self._number = 0
        self.words = b""
        self.is_idle = False
        self._is_stopped = False

    def stop(self) -> None:
        """End the talk, and with it the call that runs."""
        self._is_stopped = True
        self._outbox.put(None)

    def said(self) -> str:
        """Return the last words of the talk's command."""
        return self.words.decode("utf-8", "replace").strip() or "its process ended"

    def hear(self, data: bytes) -> None:
        """Take what the node wrote."""
        for kind, number, body in self._frames.feed(data):
            if kind == frames.HELLO:
                _check_python(json.loads(body))
                self._next()
            elif (
                kind == frames.LINE
                or self._call is None
                or self._answer is None
                or number != self._number
            ):
                continue
            elif kind == frames.OUT:
                self._call.hear(body)
            elif kind == frames.PIECE:
                self._answer.add(body)
            elif kind == frames.FLAW:
                words = body.decode("utf-8", "replace")
                self._done(error=InvalidRequest({"result": words}))
            elif kind == frames.END:
                self._end(bytes(body[:1]), bytes(body[1:]))

    def over(self, ending: Ending, reason: str) -> None:
        """The talk has ended; a call that it ran came to no end."""
        call, self._call = self._call, None
        if self._answer is not None:
            self._answer.close()
        if call is None:
            return
        call.stop = None
        if ending is Ending.DIED:
            problem: FlowError = TaskFailed(
                f"the process that ran {call.name} died: {reason}",
                exit_code=1,
                hint=f"flow logs {call.worker}",
            )
        else:
            problem = NodeUnreachable(f"the node that ran {call.name} was lost: {reason}")
        self._worker.give_back(call, ending, problem)

    def _next(self) -> None:
        if self._is_stopped:
            return
        call = self._worker.next_call()
        if call is None:
            self.is_idle = True
            self._outbox.put(None)
            return
        self._number += 1
        self._call, self._answer = call, Answer(self._number)
        call.stop = self.stop
        message = call.frame(self._number, self._answer.key)
        function = call.function
        if function.digest not in self._sent:
            self._sent.add(function.digest)
            told = frames.frame(frames.FUNCTION, 0, function.digest + function.data)
            message = told + message
        self._outbox.put(message)
        if call.cancel_asked:
            self.stop()

    def _end(self, how: bytes, seal: bytes) -> None:
        call, answer = self._call, self._answer
        assert call is not None
        assert answer is not None
        if not answer.is_sealed(how, seal):
            self._call = call.stop = None
            answer.close()
            problem = NodeUnreachable(f"what came back of {call.name} was not sealed with its key")
            self._worker.give_back(call, Ending.DIED, problem)
            self._next()
            return
        if how != frames.VALUE:
            error = error_in(how, answer.opened().read())
            if type(error).__name__ == "TimedOut" and isinstance(error, Exception):
                error = TimedOut(f"{call.name} {error}")
            self._call = None
            call.stop = None
            answer.close()
            self._worker.give_back(call, Ending.RAISED, error)
            self._next()
            return
        try:
            file = answer.opened()
            if call.keep is not None:
                call.keep(file, answer.size)
                file.seek(0)
            is_late = call.keep is not None and answer.size > SPILL_BYTES
            value = KEPT if is_late else value_in(file, call.form)
        except Exception as error:  # noqa: BLE001  (a result that can't be loaded is the call's own trouble)
            self._done(error=error)
            return
        self._done(value=value)

    def _done(self, *, value: Any = None, error: BaseException | None = None) -> None:
        call, self._call = self._call, None
        assert call is not None
        call.stop = None
        if self._answer is not None:
            self._answer.close()
        if error is not None:
            _fail(call, error)
        else:
            call.future.set_result(value)
            del value
        call = None
        self._next()


def _fail(call: Pending, problem: BaseException) -> None:
    if not call.future.done():
        call.future.set_exception(problem)


def _check_python(about: dict[str, Any]) -> None:
    here, there = platform.python_version(), str(about["python"])
    if here.split(".")[:2] != there.split(".")[:2]:
        raise Misconfigured(
            f"the node's Python is {there} and this one is {here}; functions travel between equal minor versions only",
            hint="choose an image with this version, or leave `image` and `environment` out to have one made",
        )
