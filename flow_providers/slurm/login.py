"""The login node: where Slurm's commands are. Here it is this machine; `there` is one over SSH."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import tarfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from attrs import frozen

from flow_core.domain.allocation import Node
from flow_core.domain.code import Bundle
from flow_core.ports.shell import Call, Events, NodeEvent, NodeExit, NodeLost

_TERMINAL = ("TERM", "COLORTERM", "LINES", "COLUMNS")


class Login(Protocol):
    """Runs things where Slurm's commands are."""

    @property
    def where(self) -> str:
        """What people call it."""
        ...

    def ask(self, verb: str, told: Mapping[str, object]) -> dict[str, Any]:
        """Return what the desk answers, a refusal too.

        Raises:
            Transient: the login node gave no answer.
            NotAuthorized: it doesn't let us in.
            Misconfigured: it can't run the desk.
        """
        ...

    def run_many(self, calls: Sequence[Call], *, timeout_s: float | None) -> Events:
        """Run each call's line there; see `RemoteShell.run_many`, whose events these are."""
        ...

    def upload(self, node: Node, bundle: Bundle, *, target: str) -> NodeEvent:
        """Make the folder `target` there hold the bundle's files; see `RemoteShell.upload`."""
        ...

    def attach(self, node: Node, line: str) -> int:
        """Give the caller's terminal to a line there, and return its exit code."""
        ...


@frozen
class Here:
    """Implements `Login` on this very machine."""

    environ: Mapping[str, str]
    where: str = "this machine"

    def ask(self, verb: str, told: Mapping[str, object]) -> dict[str, Any]:
        """See `Login.ask`."""
        from flow_providers.slurm import desk

        return desk.answer(verb, dict(told))

    def run_many(self, calls: Sequence[Call], *, timeout_s: float | None) -> Events:
        """See `Login.run_many`."""
        from flow_adapters.child_calls import Started, run_together

        def start(call: Call) -> Started | NodeLost:
            try:
                return Started(call, self._child(call.line))
            except OSError as exc:
                return NodeLost(call.node, f"nothing can be started here: {exc.strerror}")

        return run_together(calls, start, lambda _: None, timeout_s=timeout_s)

    def upload(self, node: Node, bundle: Bundle, *, target: str) -> NodeEvent:
        """See `Login.upload`. Which bundle a folder holds is noted beside it."""
        from flow_adapters.unpacking import unpack

        place = Path(target)
        note = place.with_name(f".{place.name}.held")
        try:
            if place.is_dir() and note.exists() and note.read_text() == bundle.digest:
                return NodeExit(node, 0)
            place.parent.mkdir(exist_ok=True)
            note.unlink(missing_ok=True)
            unpack(Path(bundle.location), place)
            note.write_text(bundle.digest)
        except OSError as exc:
            return NodeLost(node, f"{exc.filename or target}: {exc.strerror}")
        except tarfile.TarError as exc:
            return NodeLost(node, str(exc))
        return NodeExit(node, 0)

    def attach(self, node: Node, line: str) -> int:
        """See `Login.attach`."""
        env = {
            **self._environment(),
            **{n: self.environ[n] for n in _TERMINAL if n in self.environ},
        }
        # Ctrl-C is the command's; it comes to us too, for the terminal sends it to everyone.
        with _deaf_to_interrupts():
            code = subprocess.run(["sh", "-c", line], env=env, check=False).returncode
        return code if code >= 0 else 128 - code

    def _child(self, line: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["sh", "-c", line],
            env=self._environment(),
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )

    def _environment(self) -> dict[str, str]:
        from flow_providers.slurm import desk_bids

        return desk_bids.environment()


@contextlib.contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Where this thread hears signals at all, let Ctrl-C pass by; children hear it as ever."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
