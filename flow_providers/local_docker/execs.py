"""Starting things in containers that run.

Docker gives what it starts this way no name by which it could be ended again. So each begins with a variable of its
own, and another such start ends every process that has it.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import suppress

from attrs import frozen

from flow_core.domain.allocation import Node
from flow_core.errors import Conflict, FlowError, NodeUnreachable, NotFound
from flow_core.ports.clock import Clock
from flow_providers.local_docker.engine import Engine, Hijacked
from flow_providers.local_docker.facts import WORKSPACE
from flow_providers.local_docker.node_files import node_file

#: How often it is asked whether a busy engine has made the process of what it says it has started, and how soon again.
_LOOKS, _GLANCE_S = 1_000, 0.02


@frozen(kw_only=True)
class Started:
    """Something that was started in a container, and the connection to it."""

    id: str
    call: str
    wire: Hijacked


class Execs:
    """Starts, asks after and ends processes in nodes' containers."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def start(
        self,
        node: Node,
        command: Sequence[str],
        *,
        reads: bool = False,
        terminal: bool = False,
        env: Sequence[str] = (),
    ) -> Started:
        """Start a command in the node's workspace.

        Raises:
            NodeUnreachable: the container isn't there, or doesn't run.
        """
        call = secrets.token_hex(8)
        body = {
            "Cmd": list(command),
            "AttachStdin": reads,
            "AttachStdout": True,
            "AttachStderr": not terminal,
            "Tty": terminal,
            # Emptied, for it is long. Docker would take away a name without a value; Podman refuses one.
            "Env": ["FLOW_SCRIPT=", f"FLOW_CALL={call}", *env],
            "WorkingDir": WORKSPACE,
        }
        try:
            made = self._engine.ask("POST", f"/containers/{node.id}/exec", body=body)["Id"]
            wire = self._engine.hijacked(f"/exec/{made}/start", {"Detach": False, "Tty": terminal})
        except NotFound as error:
            raise NodeUnreachable(f"node {node.rank} is gone") from error
        except Conflict as error:
            raise NodeUnreachable(
                f"node {node.rank} gave no answer: its container doesn't run"
            ) from error
        return Started(id=made, call=call, wire=wire)

    def joined(self, node: Node) -> Started:
        """Join the standard streams of a node's container, which is made and not started yet.

        Raises:
            NodeUnreachable: it isn't there.
        """
        query = {"stream": "1", "stdin": "1", "stdout": "1"}
        try:
            wire = self._engine.hijacked(f"/containers/{node.id}/attach", query=query)
        except (NotFound, Conflict) as error:
            raise NodeUnreachable(f"node {node.rank} is gone") from error
        return Started(id="", call="", wire=wire)

    def code(self, node: Node, started: Started) -> int | None:
        """Return the exit code of what has ended; None where its container has ended with it."""
        try:
            said = self._engine.ask("GET", f"/exec/{started.id}/json")
        except NotFound:
            return None
        code = said.get("ExitCode")
        if code is None or said.get("Running"):
            return None
        if code == 137 and not self._runs(node):
            return None
        return int(code)

    def end(self, node: Node, started: Started) -> None:
        """End every process of it, and close the connection."""
        started.wire.close()
        with suppress(FlowError):  # the container may have gone, and with it all that ran there
            self._await_process(started)
            self.run(node, "end.py", started.call)

    def _await_process(self, started: Started) -> None:
        """Return once there is a process, or was one: the engine says that it has started something before it has."""
        for _ in range(_LOOKS if started.id else 0):
            said = self._engine.ask("GET", f"/exec/{started.id}/json")
            if said.get("Pid") or said.get("ExitCode") is not None:
                return
            self._clock.sleep(_GLANCE_S)

    def run(self, node: Node, program: str, *arguments: str) -> bytes:
        """Run one of our own programs on the node, and return what it wrote, errors included."""
        started = self.start(node, ours(program, *arguments))
        with_all = b"".join(data for _, data in started.wire.frames())
        started.wire.close()
        return with_all

    def resize(self, started: Started, *, rows: int, columns: int) -> None:
        """Tell the terminal that the command has how large it is."""
        query = {"h": str(rows), "w": str(columns)}
        self._engine.ask(
            "POST", f"/exec/{started.id}/resize", query=query, fine=(400, 404, 409, 500)
        )

    def check(self, node: Node) -> None:
        """Return if the node's container runs.

        Raises:
            NodeUnreachable: it doesn't.
        """
        if not self._runs(node):
            raise NodeUnreachable(f"node {node.rank} gave no answer: its container doesn't run")

    def _runs(self, node: Node) -> bool:
        try:
            state = self._engine.ask("GET", f"/containers/{node.id}/json")["State"]
        except NotFound:
            return False
        return bool(state["Running"]) and not state.get("Restarting")


def leaving(program: str) -> list[str]:
    """Return how a program of ours is run that a line takes the place of: what is left of its input when it ends."""
    then = 'set -- "$(cat)" && [ -n "$1" ] && exec /bin/sh -c "$1"'
    return ["/bin/sh", "-c", f'"$FLOW_PYTHON" -c "$0" && {then}', node_file(program)]


def ours(program: str, *arguments: str) -> list[str]:
    """Return how a program of ours is run on a node, whatever its image holds."""
    line = 'exec "$FLOW_PYTHON" -c "$0" "$@"'
    return ["/bin/sh", "-c", line, node_file(program), *arguments]
