"""A task as Python holds it: a handle that behaves as `concurrent.futures.Future` does."""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable, Iterator
from types import TracebackType

from flow_core.domain.money import Spend
from flow_core.domain.record import Outcome
from flow_core.domain.status import TaskState, TaskView
from flow_core.errors import FlowError, TaskCancelled, TaskFailed, WaitTimedOut
from flow_core.services.session import Session


class Cancelled(TaskCancelled, concurrent.futures.CancelledError):
    """The task was cancelled before it ended by itself."""


class TimedOut(WaitTimedOut, concurrent.futures.TimeoutError):
    """The timeout passed before the task ended; the message says what it was waiting for."""


class Task:
    """A task that was submitted; its process, its nodes and its cost are elsewhere and go on without this object.

    Methods that wait take `timeout` in real seconds and raise `TimedOut`, which is a `TimeoutError`. Each look asks
    the provider anew; nothing is cached.
    """

    def __init__(self, session: Session, token: str) -> None:
        self._session = session
        self._token = token

    @property
    def name(self) -> str:
        """The task's name."""
        return self._session.tasks.record(self._token).name

    @property
    def view(self) -> TaskView:
        """Everything known about the task now: its record, bid, allocation and reports."""
        return self._session.tasks.view(self._token)

    @property
    def state(self) -> TaskState:
        """The state it is in now, a string such as `running`."""
        return self.view.state

    @property
    def exit_code(self) -> int | None:
        """The command's exit code, of the first node to fail if any did; None before the end."""
        return self._session.tasks.record(self._token).exit_code

    @property
    def cost(self) -> Spend:
        """What the task has cost so far."""
        record = self._session.tasks.record(self._token)
        return self._session.costs.of([record])[record.token].spent

    def done(self) -> bool:
        """Whether it has ended, however it did."""
        return self.state.is_final

    def running(self) -> bool:
        """Whether its command runs now."""
        return self.state in (TaskState.RUNNING, TaskState.PREEMPTING)

    def cancelled(self) -> bool:
        """Whether it ended by being cancelled."""
        return self.state is TaskState.CANCELLED

    def cancel(self) -> bool:
        """End the task and its cost; False if it had ended by itself before."""
        if self.done() and not self._session.tasks.record(self._token).spec.keep:
            return False
        self._session.tasks.cancel(self._token)
        return True

    def wait(self, timeout: float | None = None) -> TaskState:
        """Return the final state once there is one and nothing is paid for any more (a kept task's nodes aside).

        Raises:
            TimedOut: `timeout` seconds passed.
        """
        try:
            return self._session.tasks.wait(self._token, timeout_s=timeout).state
        except WaitTimedOut as late:
            raise TimedOut(late.message, hint=late.hint) from None

    def result(self, timeout: float | None = None) -> int:
        """Wait for success and return 0, the exit code.

        Raises:
            TaskFailed: it ended without success; `exit_code` is in the exception.
            Cancelled: it was cancelled; also a `concurrent.futures.CancelledError`.
            TimedOut: `timeout` seconds passed.
        """
        problem = self.exception(timeout)
        if problem is not None:
            raise problem
        return 0

    def exception(self, timeout: float | None = None) -> FlowError | None:
        """Wait for the end and return what `result` would raise, None after success.

        Raises:
            Cancelled: it was cancelled, as with futures.
            TimedOut: `timeout` seconds passed.
        """
        self.wait(timeout)
        record = self._session.tasks.record(self._token)
        if record.outcome is Outcome.SUCCEEDED:
            return None
        if record.outcome is Outcome.CANCELLED:
            raise Cancelled(f"task {record.name!r} was cancelled")
        code = record.exit_code if record.exit_code is not None else 1
        return TaskFailed(
            f"task {record.name!r} failed: {record.reason}",
            exit_code=code,
            hint=f"flow logs {record.name}",
        )

    def add_done_callback(self, fn: Callable[[Task], object]) -> None:
        """Call `fn(task)` once the task has ended, from a thread of its own, or at once if it has."""
        if self.done():
            fn(self)
            return
        threading.Thread(
            target=lambda: (self.wait(), fn(self)), name=f"flow-{self._token}", daemon=True
        ).start()

    def logs(
        self, *, follow: bool = False, node: int | None = None, tail: int | None = None
    ) -> Logs:
        """Return the log's lines, of all nodes or one; with `follow`, iterating goes on until the task's last line."""
        return Logs(self._session, self._token, follow=follow, node=node, tail=tail)

    def __enter__(self) -> Task:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self.done() or self._session.tasks.record(self._token).is_live:
            self._session.tasks.cancel(self._token)

    def __repr__(self) -> str:
        return f"<flow.Task {self._session.tasks.record(self._token).name!r}>"


class Logs:
    """A task's log: iterate for lines of text without their newlines, or take `.data()` or `.text()` whole.

    Lines of several nodes are prefixed with their rank, as in `[2] epoch 1`.
    """

    def __init__(
        self, session: Session, token: str, *, follow: bool, node: int | None, tail: int | None
    ) -> None:
        self._session = session
        self._token = token
        self._follow = follow
        self._node = node
        self._tail = tail

    def __iter__(self) -> Iterator[str]:
        many = self._node is None and self._session.tasks.record(self._token).spec.num_instances > 1
        rests: dict[int, bytes] = {}
        for rank, data in self._chunks():
            *lines, rests[rank] = (rests.get(rank, b"") + data).split(b"\n")
            for line in lines:
                yield _text(line, rank if many else None)
        for rank, rest in sorted(rests.items()):
            if rest:
                yield _text(rest, rank if many else None)

    def data(self) -> bytes:
        """Return what the command wrote, byte for byte; several nodes' logs one after the other, by rank."""
        found: dict[int, bytearray] = {}
        for rank, data in self._chunks():
            found.setdefault(rank, bytearray()).extend(data)
        return b"".join(bytes(found[rank]) for rank in sorted(found))

    def text(self) -> str:
        """Return all lines, each with its newline."""
        return "".join(f"{line}\n" for line in self)

    __str__ = text

    def _chunks(self) -> Iterator[tuple[int, bytes]]:
        ranks = None if self._node is None else [self._node]
        for chunk in self._session.tasks.logs(
            self._token, ranks=ranks, follow=self._follow, tail=self._tail
        ):
            yield chunk.rank, chunk.data


def _text(line: bytes, rank: int | None) -> str:
    text = line.decode("utf-8", "replace")
    return text if rank is None else f"[{rank}] {text}"
