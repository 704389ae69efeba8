"""Many calls in containers at once, and what happens to each as it happens: two threads a call.

Nothing is read far ahead: a caller who takes no events lets the queue fill, and so the commands wait for him.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence

from flow_core.errors import FlowError
from flow_core.ports.shell import Call, Events, NodeEvent, NodeExit, NodeLost, NodeOutput
from flow_providers.local_docker.execs import Execs, Started

_WAITING = 64
#: Seconds that an exit code may come after the end of the output.
_CODE_S = 5.0
_LOOK_S = 0.02


def run_together(
    execs: Execs,
    calls: Sequence[Call],
    *,
    begin: Callable[[Call], Started],
    timeout_s: float | None,
) -> Events:
    """Start every call by `begin` and yield what happens; closing ends what still runs."""
    events: queue.Queue[NodeEvent] = queue.Queue(_WAITING)
    over = threading.Event()
    runs = [_Run(execs, call, events, over, begin=begin, timeout_s=timeout_s) for call in calls]
    threads = [threading.Thread(target=run.attend, daemon=True) for run in runs]
    for thread in threads:
        thread.start()
    waiting = len(calls)
    try:
        while waiting:
            event = events.get()
            waiting -= not isinstance(event, NodeOutput)
            yield event
    finally:
        over.set()
        enders = [threading.Thread(target=run.end, daemon=True) for run in runs if not run.is_over]
        for thread in enders:
            thread.start()
        for thread in enders:
            thread.join()


class _Run:
    def __init__(
        self,
        execs: Execs,
        call: Call,
        events: queue.Queue[NodeEvent],
        over: threading.Event,
        *,
        begin: Callable[[Call], Started],
        timeout_s: float | None,
    ) -> None:
        self._execs = execs
        self._call = call
        self._events = events
        self._over = over
        self._begin = begin
        self._timeout_s = timeout_s
        self._deadline = None if timeout_s is None else time.monotonic() + timeout_s
        self._started: Started | None = None
        self._trouble = ""
        self.is_over = False

    def attend(self) -> None:
        """Run the call, tell what it writes, and at last how it ended."""
        node = self._call.node
        reads = self._call.stdin != b""
        try:
            self._started = self._begin(self._call)
            if self._over.is_set():
                self.end()
                return
            if reads:
                threading.Thread(target=self._feed, args=(self._started,), daemon=True).start()
            self._tell(self._heard(self._started))
        except FlowError as error:
            self._tell(NodeLost(node, error.message))
        self.is_over = True

    def end(self) -> None:
        """End what still runs."""
        if self._started is not None and not self.is_over:
            self.is_over = True
            self._execs.end(self._call.node, self._started)

    def _heard(self, started: Started) -> NodeEvent:
        node, plug = self._call.node, started.wire.plug
        frames = started.wire.frames()
        while True:
            left = None if self._deadline is None else self._deadline - time.monotonic()
            if left is not None and left <= 0:
                return self._too_late()
            try:
                plug.settimeout(left)
                frame = next(frames, None)
            except TimeoutError:
                return self._too_late()
            except OSError:
                frame = None
            if frame is None:
                break
            if not self._tell(NodeOutput(node, *frame)):
                break
        if self._trouble:
            self.end()
            return NodeLost(node, f"its input broke off: {self._trouble}")
        code = self._code(started)
        started.wire.close()
        if code is None:
            return NodeLost(node, "its container ended before the command did")
        return NodeExit(node, code)

    def _too_late(self) -> NodeEvent:
        self.end()
        return NodeLost(self._call.node, f"no end within {self._timeout_s:g} s")

    def _code(self, started: Started) -> int | None:
        """Return the exit code, which the engine may tell a moment after the end of the output."""
        until = time.monotonic() + _CODE_S
        while True:
            code = self._execs.code(self._call.node, started)
            if code is not None or time.monotonic() > until or self._over.wait(_LOOK_S):
                return code

    def _feed(self, started: Started) -> None:
        """Send the input as its iterable gives it; what the command doesn't want it needn't take."""
        pieces = iter(self._call.pieces())
        while not self.is_over:
            try:
                piece = next(pieces, None)
            except Exception as error:  # noqa: BLE001  (whatever the iterable raises, the call is lost by it)
                self._trouble = str(error) or type(error).__name__
                started.wire.close()
                return
            try:
                if piece is None:
                    started.wire.end_input()
                    return
                started.wire.plug.sendall(piece)
            except OSError:
                return

    def _tell(self, event: NodeEvent) -> bool:
        """Pass an event on as soon as somebody takes it; False when nobody will."""
        while not self._over.is_set():
            try:
                self._events.put(event, timeout=0.2)
                return True
            except queue.Full:
                continue
        return False
