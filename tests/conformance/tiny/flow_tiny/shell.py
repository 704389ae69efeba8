"""The shell role: lines run by `sh` in a node's folder, many at once."""

import os
import signal
import subprocess
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from queue import Queue
from threading import Thread
from typing import IO

from flow_core.domain.allocation import Node
from flow_core.domain.code import Bundle
from flow_core.domain.run import Stream
from flow_core.errors import NodeUnreachable, Unsupported
from flow_core.ports.code import Packing, whole
from flow_core.ports.shell import Call, Events, NodeEvent, NodeExit, NodeLost, NodeOutput
from flow_tiny.ledger import Ledger


class TinyShell:
    """Implements `flow_core.ports.shell.RemoteShell`."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def run_many(self, calls: Sequence[Call], *, timeout_s: float | None = None) -> Events:
        """See `RemoteShell.run_many`."""
        events: Queue[NodeEvent] = Queue()
        processes = []
        try:
            for call in calls:
                process = self._start(call)
                if process is None:
                    events.put(NodeLost(call.node, "the node is gone"))
                    continue
                processes.append(process)
                Thread(target=attend, args=(process, call, timeout_s, events)).start()
            waiting = len(calls)
            while waiting:
                event = events.get()
                if not isinstance(event, NodeOutput):
                    waiting -= 1
                yield event
        finally:
            for process in processes:
                end(process)

    def upload(self, nodes: Collection[Node], bundle: Bundle | Packing, *, target: str) -> Events:
        """See `RemoteShell.upload`."""
        packed = whole(bundle)
        for node in nodes:
            home = self._ledger.home(node)
            if home is None:
                yield NodeLost(node, "the node is gone")
                continue
            folder = home / "workspace" / target
            known = home / "uploads.txt"
            line = f"{packed.digest} {folder}\n"
            if line not in (known.read_text() if known.exists() else ""):
                folder.mkdir(parents=True, exist_ok=True)
                subprocess.run(["tar", "-xf", packed.location, "-C", str(folder)], check=True)
                with known.open("a") as file:
                    file.write(line)
            yield NodeExit(node, 0)

    def attach(self, node: Node, line: str | None = None) -> int:
        """See `RemoteShell.attach`."""
        home = self._ledger.home(node)
        if home is None:
            raise NodeUnreachable(f"node {node.rank} is gone")
        arguments = ["sh", "-i"] if line is None else ["sh", "-c", line]
        return code_of(
            subprocess.call(arguments, cwd=home / "workspace", env=self._ledger.environment(home))
        )

    def forward(self, node: Node, port: int, *, local_port: int = 0) -> AbstractContextManager[int]:
        """See `RemoteShell.forward`."""
        raise Unsupported(
            "tiny forwards no ports", hint=f"its nodes are here: connect to 127.0.0.1:{port}"
        )

    def _start(self, call: Call) -> subprocess.Popen[bytes] | None:
        """Start a call, or return None where its node is gone, or goes at this moment."""
        home = self._ledger.home(call.node)
        if home is None:
            return None
        try:
            return subprocess.Popen(
                ["sh", "-c", call.line],
                cwd=home / "workspace",
                env=self._ledger.environment(home),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except FileNotFoundError:
            return None


def attend(
    process: subprocess.Popen[bytes],
    call: Call,
    timeout_s: float | None,
    events: Queue[NodeEvent],
) -> None:
    """Feed one call, pass on what it writes, and tell how it ended."""
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    troubles: list[str] = []
    Thread(target=feed, args=(process, call, troubles), daemon=True).start()
    threads = [
        Thread(target=drain, args=(process.stdout, call.node, Stream.OUT, events), daemon=True),
        Thread(target=drain, args=(process.stderr, call.node, Stream.ERR, events), daemon=True),
    ]
    for thread in threads:
        thread.start()
    last: NodeEvent
    try:
        last = NodeExit(call.node, code_of(process.wait(timeout_s)))
    except subprocess.TimeoutExpired:
        last = NodeLost(call.node, f"did not end within {timeout_s:g} s")
        end(process)
        process.wait()
    for thread in threads:
        thread.join()
    events.put(NodeLost(call.node, troubles[0]) if troubles else last)


def feed(process: subprocess.Popen[bytes], call: Call, troubles: list[str]) -> None:
    """Write the input as it comes; a command that doesn't read it is no fault, an input that breaks off ends it."""
    assert process.stdin is not None
    try:
        with process.stdin as pipe:
            for piece in call.pieces():
                pipe.write(piece)
                pipe.flush()
    except BrokenPipeError:
        pass
    except Exception as error:
        troubles.append(f"its input broke off: {error}")
        end(process)


def drain(pipe: IO[bytes], node: Node, stream: Stream, events: Queue[NodeEvent]) -> None:
    """Pass on what is written, as it is written."""
    with pipe:
        while data := os.read(pipe.fileno(), 65536):
            events.put(NodeOutput(node, stream, data))


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process and all it started, unless it has ended."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)


def code_of(returncode: int) -> int:
    """Return an exit code as a shell would tell it."""
    return returncode if returncode >= 0 else 128 - returncode
