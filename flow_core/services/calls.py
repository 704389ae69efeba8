"""Workers: tasks of one node that serve calls in turn, and the talks with them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

from attrs import evolve

from flow_core.domain.allocation import Node
from flow_core.domain.call import WorkerNeeds, worker_name
from flow_core.domain.names import new_token
from flow_core.domain.status import TaskState
from flow_core.domain.task import TaskSpec
from flow_core.domain.task_form import task_from_mapping
from flow_core.errors import FlowError, TaskCancelled, TaskFailed
from flow_core.ports.shell import Events
from flow_core.services.polling import intervals
from flow_core.services.ports import Ports
from flow_core.services.remote import Remote
from flow_core.services.tasks import Tasks

#: What runs on a node, in its workspace.
PROGRAM = ".flow-call.zip"
#: The command of a talk; it needs the node's own Python only.
DOOR = f'exec "${{FLOW_PYTHON:-python3}}" {PROGRAM} door'
_TAIL = 8


class Calls:
    """Hires workers, talks with them and dismisses them."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._tasks = Tasks(ports)
        self._remote = Remote(ports)

    def spec(self, needs: WorkerNeeds, *, app: str, function: str, code: str | None) -> TaskSpec:
        """Return a worker as a task; `code` is the folder with the program, None where nothing can run it.

        Raises:
            InvalidRequest: the needs hold something that no task has.
        """
        told = {
            "environment": needs.python,
            "requirements": list(needs.requirements),
            "keep_warm": needs.keep_warm,
        }
        command = ["sleep", "infinity"]
        if code is not None:
            command = ["python3", PROGRAM, "work", json.dumps(told)]
        token = new_token(self._ports.chance)
        raw: Mapping[str, object] = {
            **needs.task,
            "command": command,
            "name": worker_name(app, function, token),
            "code": code,
        }
        return task_from_mapping({key: value for key, value in raw.items() if value is not None})

    def hire(self, spec: TaskSpec) -> str:
        """Submit a worker and return its token; see `Tasks.submit`. Its code is packed before this returns.

        Where that fails there is none: whoever sees to submitted tasks is told that nobody wants it.
        """
        try:
            return self._tasks.submit(evolve(spec, retries=max(spec.retries, 2))).token
        except BaseException:
            with suppress(FlowError):
                self.dismiss(spec.name or "")
            raise

    def node(self, token: str, *, is_wanted: Callable[[], bool]) -> Node | None:
        """Wait for the worker's node to run it; return the node, or None once nobody wants it.

        Raises:
            TaskFailed: the worker ended; the message has its last words.
            TaskCancelled: it was cancelled.
        """
        waits, seen = intervals(self._ports.provider.limits.poll_s), ""
        while is_wanted():
            view = self._tasks.view(token)
            if view.state.is_final:
                raise self._ended(token, view.state)
            if view.state is TaskState.RUNNING:
                nodes = view.allocation.nodes if view.allocation is not None else ()
                for node in nodes:
                    if node.is_reachable:
                        return node
            if view.state != seen:
                waits, seen = intervals(self._ports.provider.limits.poll_s), view.state
            self._ports.watch.ensure()
            self._ports.clock.sleep(next(waits))
        return None

    def is_running(self, token: str) -> bool:
        """Whether the worker's command runs now."""
        return self._tasks.view(token).state is TaskState.RUNNING

    def talk(self, node: Node, frames: Iterable[bytes]) -> Events:
        """Talk with the worker on a node for as long as `frames` has more; see `RemoteShell.run_many`."""
        return self._remote.run([node], DOOR, stdin=lambda _: frames)

    def name(self, token: str) -> str:
        """Return the name of the worker's task."""
        return self._tasks.record(token).name

    def dismiss(self, token: str) -> None:
        """End a worker and its cost; one that has ended is left as it is."""
        if not self._tasks.record(token).has_ended:
            self._tasks.cancel(token)

    def _ended(self, token: str, state: TaskState) -> FlowError:
        record = self._tasks.record(token)
        if state is TaskState.CANCELLED:
            return TaskCancelled(f"the worker {record.name!r} was cancelled")
        said = b"".join(chunk.data for chunk in self._tasks.logs(token, tail=_TAIL))
        words = said.decode("utf-8", "replace").strip()
        return TaskFailed(
            f"the worker {record.name!r} ended before the call did: {record.reason or state}"
            + (f"\n{words}" if words else ""),
            exit_code=record.exit_code if record.exit_code is not None else 1,
            hint=f"flow logs {record.name}",
        )
