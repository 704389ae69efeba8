"""Notebook servers on nodes: found, started, stopped."""

from __future__ import annotations

from contextlib import closing

from flow_core.domain.allocation import Node
from flow_core.domain.notebook import Notebook, ask_line, parse_answer, question
from flow_core.domain.run import Stream
from flow_core.errors import NodeUnreachable, TaskFailed
from flow_core.ports.shell import Call, NodeExit, NodeLost, NodeOutput
from flow_core.services.ports import Ports

#: Real seconds for a node's answer: JupyterLab may have to be installed first.
PATIENCE_S = 900.0
_TAIL = 4_000


class Notebooks:
    """Asks nodes for their server."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    def serve(self, node: Node, *, token: str = "", python: str = "") -> Notebook:
        """Return the node's server, started if there is none; may be repeated, and then finds it.

        A new one wants `token`, or one that the node draws. `python` is the interpreter of its kernel, a path or a
        name on the node; without it the command's own. Expect under 10 s, minutes where JupyterLab is installed.

        Raises:
            NodeUnreachable: the node gave no answer.
            TaskFailed: the server couldn't be installed or started; the message has its last words.
        """
        found = self._ask(node, {"verb": "serve", "token": token, "python": python})
        if found is None:
            raise TaskFailed(f"node {node.rank} tells of no notebook server", exit_code=1)
        return found

    def stop(self, node: Node) -> bool:
        """End the node's server and its kernels; return whether there was one.

        Raises:
            NodeUnreachable, TaskFailed: as for `serve`.
        """
        return self._ask(node, {"verb": "stop"}) is not None

    def _ask(self, node: Node, told: dict[str, object]) -> Notebook | None:
        call = Call(node=node, line=ask_line(), stdin=question(self._ports.node_files.kit(), told))
        said = {Stream.OUT: b"", Stream.ERR: b""}
        with closing(self._ports.provider.shell.run_many([call], timeout_s=PATIENCE_S)) as events:
            for event in events:
                if isinstance(event, NodeOutput):
                    said[event.stream] = (said[event.stream] + event.data)[-_TAIL:]
                elif isinstance(event, NodeLost):
                    raise NodeUnreachable(f"node {node.rank} gave no answer: {event.reason}")
                elif isinstance(event, NodeExit) and event.code:
                    words = said[Stream.ERR].decode("utf-8", "replace").strip()
                    raise TaskFailed(
                        f"no notebook server on node {node.rank}: {words or f'exit code {event.code}'}",
                        exit_code=event.code,
                        hint="all that was said is in notebook.log and environment.log in Flow's folder on the node",
                    )
        try:
            return parse_answer(said[Stream.OUT])
        except ValueError as error:
            raise TaskFailed(
                f"no notebook server on node {node.rank}: its answer is none: {error}", exit_code=1
            ) from error
