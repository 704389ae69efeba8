"""Runs many child processes at once and tells what happens to each as it happens.

One selector watches every pipe. Nothing is read ahead: a caller who takes no events lets the pipes fill, and so the
commands wait for him. A child that is over is noticed by the end of its pipes, or, where something it left behind keeps
them open, `_DRAIN_S` after its end, which is asked for every `_LOOK_S`.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from attrs import define, field, frozen

from flow_core.domain.run import Stream
from flow_core.ports.shell import Call, Events, NodeEvent, NodeExit, NodeLost, NodeOutput

_CHUNK = 65_536
#: How much is read at once; a pipe that its writer has widened holds as much.
_READ = 1 << 20
_LOOK_S = 0.2
_DRAIN_S = 0.5
_BEAT_S = 0.01
#: Seconds between TERM and KILL for what is ended early.
_GRACE_S = 1.0


@frozen(eq=False)
class Started:
    """A call and the process that carries it out, a session of its own with three pipes."""

    call: Call
    child: subprocess.Popen[bytes]


def run_together(
    calls: Sequence[Call],
    start: Callable[[Call], Started | NodeLost],
    absence: Callable[[Call], str | None],
    *,
    timeout_s: float | None,
) -> Events:
    """Start every call and yield what happens; closing ends what still runs.

    `absence` is asked about a call that was killed: a reason makes its end a NodeLost, for the node itself went.
    """
    with contextlib.closing(_Together(absence, timeout_s)) as together:
        begun = [start(call) for call in calls]
        for started in begun:
            if isinstance(started, Started):
                together.add(started)
        yield from (lost for lost in begun if isinstance(lost, NodeLost))
        yield from together.events()


@define(eq=False)
class _Running:
    call: Call
    child: subprocess.Popen[bytes]
    open_pipes: int = 2
    stdin: memoryview = field(factory=lambda: memoryview(b""))
    ended_at: float | None = None
    #: Why the input broke off; and whether anybody still wants it.
    trouble: str = ""
    #: Why it is being ended, and when it was told.
    lost: str = ""
    told_at: float = 0.0
    is_over: bool = False


class _Together:
    def __init__(self, absence: Callable[[Call], str | None], timeout_s: float | None) -> None:
        self._absence = absence
        self._selector = selectors.DefaultSelector()
        self._running: list[_Running] = []
        self._deadline = None if timeout_s is None else time.monotonic() + timeout_s
        self._timeout_s = timeout_s

    def add(self, started: Started) -> None:
        child = started.child
        assert child.stdin is not None
        given = started.call.stdin
        running = _Running(started.call, child)
        self._running.append(running)
        for pipe, stream in ((child.stdout, Stream.OUT), (child.stderr, Stream.ERR)):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
            self._selector.register(pipe, selectors.EVENT_READ, (running, stream))
        if not isinstance(given, bytes):
            threading.Thread(target=_pump, args=(running,), daemon=True).start()
        elif given:
            running.stdin = memoryview(given)
            os.set_blocking(child.stdin.fileno(), False)
            self._selector.register(child.stdin, selectors.EVENT_WRITE, (running, None))
        else:
            child.stdin.close()

    def events(self) -> Iterator[NodeEvent]:
        while self._running:
            for key, _ in self._selector.select(self._patience()):
                running, stream = key.data
                if stream is None:
                    self._feed(running)
                elif running in self._running:
                    yield from self._read(running, stream, key.fd)
            yield from self._over()

    def close(self) -> None:
        """End what still runs: TERM, then KILL a moment later."""
        for running in self._running:
            _tell(running.child, signal.SIGTERM)
        until = time.monotonic() + _GRACE_S
        for running in self._running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                running.child.wait(max(0.0, until - time.monotonic()))
        for running in list(self._running):
            self._forget(running)
        self._selector.close()

    def _patience(self) -> float:
        if self._deadline is None:
            return _LOOK_S
        return max(_BEAT_S, min(_LOOK_S, self._deadline - time.monotonic()))

    def _feed(self, running: _Running) -> None:
        stdin = running.child.stdin
        assert stdin is not None
        try:
            running.stdin = running.stdin[os.write(stdin.fileno(), running.stdin[:_CHUNK]) :]
        except BlockingIOError:
            return
        except OSError:
            # The command doesn't want the rest.
            running.stdin = memoryview(b"")
        if not running.stdin:
            self._selector.unregister(stdin)
            stdin.close()

    def _read(self, running: _Running, stream: Stream, pipe: int) -> Iterator[NodeEvent]:
        try:
            data = os.read(pipe, _READ)
        except BlockingIOError:
            return
        if data:
            if running.lost:
                return  # what it says of being ended is nobody's
            yield NodeOutput(running.call.node, stream, data)
            return
        self._selector.unregister(pipe)
        running.open_pipes -= 1

    def _over(self) -> Iterator[NodeEvent]:
        now = time.monotonic()
        for running in list(self._running):
            if running.trouble:
                self._end(running, f"its input broke off: {running.trouble}", now)
            code = _code(running)
            if running.lost:
                # Told first: what was started may have something to end elsewhere.
                if code is not None or now - running.told_at >= _GRACE_S:
                    self._forget(running)
                    yield NodeLost(running.call.node, running.lost)
                continue
            if code is not None:
                running.ended_at = running.ended_at or now
                if not running.open_pipes or now - running.ended_at >= _DRAIN_S:
                    self._forget(running, leftovers=False)
                    yield self._exit(running.call, code)
                    continue
            if self._deadline is not None and now >= self._deadline:
                self._end(running, f"no end within {self._timeout_s:g} s", now)

    def _end(self, running: _Running, why: str, now: float) -> None:
        if not running.lost:
            running.lost, running.told_at = why, now
            _tell(running.child, signal.SIGTERM)

    def _exit(self, call: Call, code: int) -> NodeEvent:
        reason = self._absence(call) if code == -signal.SIGKILL else None
        if reason is not None:
            return NodeLost(call.node, reason)
        return NodeExit(call.node, code if code >= 0 else 128 - code)

    def _forget(self, running: _Running, *, leftovers: bool = True) -> None:
        if leftovers:
            _tell(running.child, signal.SIGKILL)
            running.child.wait()
        running.is_over = True
        pipes = [running.child.stdout, running.child.stderr]
        if isinstance(running.call.stdin, bytes):
            pipes.append(running.child.stdin)  # else it is the pump's
        for pipe in pipes:
            assert pipe is not None
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(pipe)
            pipe.close()
        self._running.remove(running)


def _pump(running: _Running) -> None:
    """Write the input as its iterable gives it, in a thread, because both may take their time."""
    pipe = running.child.stdin
    assert pipe is not None
    try:
        with pipe:
            for piece in running.call.pieces():
                left = memoryview(piece)
                while left and not running.is_over:
                    left = left[os.write(pipe.fileno(), left) :]
                if running.is_over:
                    return
    except BrokenPipeError:
        return  # the command doesn't want the rest
    except Exception as error:  # noqa: BLE001  (whatever the iterable raises, the call is lost by it)
        running.trouble = str(error) or type(error).__name__


def _code(running: _Running) -> int | None:
    """Return the exit code; pipes end a moment before their process, which is worth that moment."""
    if not running.open_pipes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return running.child.wait(0.01)
    return running.child.poll()


def _tell(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, number)
