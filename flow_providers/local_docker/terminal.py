"""A person's terminal, given to a command in a container."""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from flow_core.domain.allocation import Node
from flow_core.domain.run import Stream
from flow_core.errors import NodeUnreachable
from flow_providers.local_docker.execs import Execs, Started

_TOLD = ("TERM", "COLORTERM", "LANG")
#: How often the exit code is asked for when the output has ended; the engine tells it a moment later.
_ASKS = 50
_BETWEEN_S = 0.02


def attached(execs: Execs, node: Node, command: Sequence[str]) -> int:
    """Run a command with this process's terminal, or with its plain streams where it has none; return its exit code.

    Raises:
        NodeUnreachable: the container doesn't run, or ended under it.
    """
    on_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    env = [f"{name}={os.environ[name]}" for name in _TOLD if name in os.environ]
    started = execs.start(
        node, command, reads=True, terminal=on_terminal, env=env if on_terminal else ()
    )
    over, ended = socket.socketpair()
    hand = threading.Thread(target=_carry_in, args=(started, over), daemon=True)
    hand.start()
    try:
        if on_terminal:
            with _raw(), _resized(lambda: _tell_size(execs, started)):
                _show(started)
        else:
            for stream, data in started.wire.frames():
                sink = sys.stdout.buffer if stream is Stream.OUT else sys.stderr.buffer
                sink.write(data)
                sink.flush()
        code = _code(execs, node, started)
    except KeyboardInterrupt:
        execs.end(node, started)
        return 130
    finally:
        started.wire.close()
        ended.close()
        hand.join()
        over.close()
    if code is None:
        raise NodeUnreachable(f"node {node.rank} ended while you were attached")
    return code


def _show(started: Started) -> None:
    out = sys.stdout.fileno()
    while data := started.wire.plug.recv(65_536):
        while data:
            data = data[os.write(out, data) :]


def _carry_in(started: Started, over: socket.socket) -> None:
    """Carry what is typed until `over` ends; nobody may be left reading, or the next program lacks what is typed."""
    with suppress(OSError, ValueError):
        while True:
            ready = select.select([sys.stdin, over], [], [])[0]
            data = b"" if over in ready else os.read(sys.stdin.fileno(), 65_536)
            if not data:
                started.wire.end_input()
                return
            started.wire.plug.sendall(data)


def _code(execs: Execs, node: Node, started: Started) -> int | None:
    waiting = threading.Event()
    for _ in range(_ASKS):
        code = execs.code(node, started)
        if code is not None:
            return code
        waiting.wait(_BETWEEN_S)
    return None


def _tell_size(execs: Execs, started: Started) -> None:
    size = os.get_terminal_size(sys.stdin.fileno())
    execs.resize(started, rows=size.lines, columns=size.columns)


@contextmanager
def _raw() -> Iterator[None]:
    """Have every key go through, Ctrl-C too; what was typed before stays."""
    try:
        import termios
        import tty
    except ImportError:
        yield
        return
    number = sys.stdin.fileno()
    before = termios.tcgetattr(number)
    tty.setraw(number, termios.TCSADRAIN)
    try:
        yield
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)


@contextmanager
def _resized(tell: Callable[[], None]) -> Iterator[None]:
    """Tell the size now, and whenever it changes, where this thread hears of that at all."""
    tell()
    number = getattr(signal, "SIGWINCH", None)
    if number is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(number, lambda *_: tell())
    try:
        yield
    finally:
        signal.signal(number, before)
