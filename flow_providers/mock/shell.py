"""The shell role over the mock's folders: commands, files, terminals and ports of pretended nodes.

A command starts in its node's workspace with the node's clean environment and sees its mounts. It is told apart from
the node's own processes: it ends with whoever asked; what it leaves in the background ends with the node.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tarfile
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from hashlib import sha256
from pathlib import Path

from flow_adapters.child_calls import Started, run_together
from flow_adapters.unpacking import unpack
from flow_core.domain.allocation import Node
from flow_core.domain.code import Bundle
from flow_core.errors import NodeUnreachable
from flow_core.ports.code import Packing, whole
from flow_core.ports.shell import Call, Events, NodeExit, NodeLost
from flow_providers.mock import namespaces
from flow_providers.mock.ports import forwarded
from flow_providers.mock.process_nodes import ProcessNodes

_TERMINAL = ("TERM", "COLORTERM", "LINES", "COLUMNS")


class ProcessShell:
    """Implements `ports.shell.RemoteShell` for nodes that `ProcessNodes` plays."""

    def __init__(self, nodes: ProcessNodes) -> None:
        self._nodes = nodes

    def run_many(self, calls: Sequence[Call], *, timeout_s: float | None = None) -> Events:
        """See `RemoteShell.run_many`."""
        return run_together(calls, self._start, self._absence, timeout_s=timeout_s)

    def upload(self, nodes: Collection[Node], bundle: Bundle | Packing, *, target: str) -> Events:
        """See `RemoteShell.upload`. A target must lie on the node's disk or in one of its mounts."""
        packed = whole(bundle)
        for node in nodes:
            try:
                self._unpack(node, packed, target)
            except OSError as exc:
                yield NodeLost(node, f"{exc.filename or target}: {exc.strerror}")
            except (tarfile.TarError, _Refused) as exc:
                yield NodeLost(node, str(exc))
            else:
                yield NodeExit(node, 0)

    def attach(self, node: Node, line: str | None = None) -> int:
        """See `RemoteShell.attach`."""
        command = ["sh", "-c", line] if line is not None else [_login_shell(), "-i"]
        arguments, environment, folder = self._ready(node, command)
        environment |= {name: os.environ[name] for name in _TERMINAL if name in os.environ}
        # Ctrl-C is the command's; it comes to us too, for the terminal sends it to everyone.
        with _deaf_to_interrupts():
            try:
                code = subprocess.run(
                    arguments, env=environment, cwd=folder, check=False
                ).returncode
            except OSError as exc:
                raise NodeUnreachable(
                    f"node {node.rank} can't start a shell: {exc.strerror}"
                ) from exc
        return code if code >= 0 else 128 - code

    def forward(self, node: Node, port: int, *, local_port: int = 0) -> AbstractContextManager[int]:
        """See `RemoteShell.forward`. A node's ports are this machine's, so the same number needs no forwarding."""
        self._check(node)
        return forwarded(port, local_port=local_port)

    def _start(self, call: Call) -> Started | NodeLost:
        try:
            arguments, environment, folder = self._ready(call.node, ["sh", "-c", call.line])
            child = subprocess.Popen(
                arguments,
                env=environment,
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
        except NodeUnreachable as exc:
            return NodeLost(call.node, exc.message)
        except OSError as exc:
            return NodeLost(call.node, f"the command could not start: {exc.strerror}")
        return Started(call, child)

    def _ready(
        self, node: Node, command: Sequence[str]
    ) -> tuple[Sequence[str], dict[str, str], Path]:
        self._check(node)
        folder = self._nodes.folder(node.id)
        binds = self._nodes.binds(node.id)
        if binds:
            command = namespaces.inside(binds, staging=str(folder / "view"), command=command)
        return command, self._nodes.environment(node.id), folder / "home" / "workspace"

    def _check(self, node: Node) -> None:
        reason = self._nodes.absence(node.id)
        if reason is not None:
            raise NodeUnreachable(f"node {node.rank} gave no answer: {reason}")

    def _absence(self, call: Call) -> str | None:
        return self._nodes.absence(call.node.id)

    def _unpack(self, node: Node, bundle: Bundle, target: str) -> None:
        reason = self._nodes.absence(node.id)
        if reason is not None:
            raise _Refused(reason)
        folder = self._nodes.folder(node.id)
        place = self._place(node, target)
        marker = (
            folder
            / "flow"
            / "uploads"
            / sha256(str(place).encode("utf-8", "surrogateescape")).hexdigest()
        )
        if marker.exists() and marker.read_text() == bundle.digest and place.is_dir():
            return
        marker.parent.mkdir(exist_ok=True)
        marker.unlink(missing_ok=True)
        unpack(Path(bundle.location), place)
        marker.write_text(bundle.digest)

    def _place(self, node: Node, target: str) -> Path:
        """Return where on this machine `target` of the node lies."""
        home = self._nodes.folder(node.id) / "home"
        wanted = Path(os.path.normpath(home / "workspace" / target))
        for bind in sorted(self._nodes.binds(node.id), key=lambda each: -len(each.path)):
            if wanted.is_relative_to(bind.path):
                if bind.read_only:
                    raise _Refused(f"{target} is on {bind.path}, which is mounted read-only")
                wanted = Path(bind.source, wanted.relative_to(bind.path))
                return _real_within(wanted, Path(bind.source), target)
        return _real_within(wanted, home, target)


class _Refused(Exception):
    """An upload that would land where it must not."""


def _real_within(wanted: Path, parent: Path, target: str) -> Path:
    real = Path(os.path.realpath(wanted))
    if not real.is_relative_to(os.path.realpath(parent)):
        raise _Refused(f"{target} is neither on the node's disk nor in one of its mounts")
    return real


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


def _login_shell() -> str:
    return "bash" if shutil.which("bash") else "sh"
