"""`flow dev --watch`: the command runs again whenever a file is saved.

The folder is looked at twice a second. A change makes the running command's input raise, which ends the command on its
node: that is the shell role's own contract, so it works the same on every provider.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing

from flow_cli import exit_codes
from flow_cli.dev_calling import ready
from flow_cli.invocation import Invocation
from flow_cli.log_lines import sink_for
from flow_core.domain.box import Entry
from flow_core.domain.record import TaskRecord
from flow_core.domain.run import LogPiece
from flow_core.errors import FlowError, InvalidRequest, NodeUnreachable, Transient
from flow_core.ports.shell import NodeExit, NodeOutput
from flow_core.services.session import Session

#: Real seconds between two looks at the folder, and between looks whether somebody is still interested.
LOOK_S = 0.5


def watch_and_run(
    invocation: Invocation,
    session: Session,
    record: TaskRecord,
    entry: Entry,
    line: str,
    *,
    yes: bool,
) -> int:
    """Run the line, and again after each change, until Ctrl-C; return what that ends with."""
    folder = record.spec.code or "."
    line = f"{{ {line}\n}} </dev/null"
    while True:
        before = session.ports.code.signature(folder)
        watching = _Watching(lambda: session.ports.code.signature(folder), before)
        try:
            code = _once(invocation, session, record, entry, line, watching, yes=yes)
            if code is not None:
                invocation.talk.say(f"— ended with {code}; runs again when a file is saved", "dim")
            watching.wait()
        except (Transient, NodeUnreachable, InvalidRequest) as trouble:
            invocation.talk.say(f"— {trouble.message}; tries again when a file is saved", "yellow")
            watching.wait()
        except KeyboardInterrupt:
            invocation.talk.say("")
            return exit_codes.INTERRUPTED
        finally:
            watching.end()
        invocation.talk.say("— a file was saved; runs again", "dim")


def _once(
    invocation: Invocation,
    session: Session,
    record: TaskRecord,
    entry: Entry,
    line: str,
    watching: _Watching,
    *,
    yes: bool,
) -> int | None:
    """Run the line once; return its code, or None where a change came first."""
    record, node = ready(invocation, session, record, yes=yes)
    sink = sink_for(
        invocation.out, invocation.talk, json=invocation.json, nodes=1, split=True,
        colour=not invocation.no_color,
    )  # fmt: skip
    code: int | None = None
    with closing(session.dev_box.run(record, node, line, entry, stdin=watching.input())) as events:
        try:
            for event in events:
                if isinstance(event, NodeOutput):
                    piece = LogPiece(event.stream, session.ports.clock.now(), event.data)
                    sink.take(0, piece)
                elif isinstance(event, NodeExit):
                    code = event.code
                elif not watching.has_changed:
                    raise Transient(f"{record.name} was lost: {event.reason}")
        finally:
            sink.end()
    return code


class _Watching:
    """Looks at a folder in a thread of its own until it has changed, or nobody wants to know any more."""

    def __init__(self, look: Callable[[], str], before: str) -> None:
        self._look = look
        self._before = before
        self._is_over = threading.Event()
        self._news = threading.Event()
        self.has_changed = False
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Return once the folder has changed; Ctrl-C is heard meanwhile."""
        while not self._news.wait(LOOK_S):
            pass

    def input(self) -> Iterator[bytes]:
        """Give a command nothing to read, and raise once the folder has changed."""
        self._news.wait()
        if self.has_changed:
            raise FlowError("a file was saved")
        yield from ()

    def end(self) -> None:
        """Look no more."""
        self._is_over.set()
        self._news.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._is_over.wait(LOOK_S):
            try:
                now = self._look()
            except FlowError:  # it is being written to; the next look sees what came of it
                continue
            if now != self._before:
                self.has_changed = True
                self._news.set()
                return
