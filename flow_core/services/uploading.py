"""Code brought to a task's nodes anew: because it changed, or because whoever delivered it died half-way."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from attrs import evolve, frozen

from flow_core.domain.actions import Deliver
from flow_core.domain.allocation import Allocation, Node
from flow_core.domain.code import Bundle
from flow_core.domain.lifecycle import Seen, decide
from flow_core.domain.record import TaskRecord
from flow_core.domain.status import TaskView
from flow_core.errors import Conflict, InvalidRequest, NodeUnreachable
from flow_core.services.delivering import bring_code, deliver
from flow_core.services.looking import last_reports, look
from flow_core.services.placing import note
from flow_core.services.polling import intervals
from flow_core.services.ports import Ports

#: Real seconds to wait for another process that is delivering to the same nodes.
PATIENCE_S = 600.0


@frozen(kw_only=True)
class Uploaded:
    """What an upload came to: the snapshot, whether it differs from the last, and which nodes have it now.

    Without any rank the task has no nodes yet; they get this snapshot when they come. `completed` says that the nodes
    waited for this delivery and begin now.
    """

    record: TaskRecord
    bundle: Bundle
    is_new: bool
    ranks: tuple[int, ...] = ()
    completed: bool = False


class Uploading:
    """Brings code to tasks that are under way or kept."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    def upload(self, name: str, *, folder: str | None = None) -> Uploaded:
        """Take a snapshot of `folder` and bring it to the task's nodes, now and whenever they get their files again.

        Without `folder`, the one that the task's code came from. Nodes that wait for a delivery get all of it,
        variables and secrets too. What runs goes on; it sees the files change.

        Raises:
            NotFound: no such task.
            InvalidRequest: there is no such folder, or a secret that no one else knows is not to be found here.
            CodeTooLarge: see `ports.code.CodeStore.pack`.
            Conflict: the task is over, brought no code, or another process goes on delivering to it.
            NodeUnreachable: not every node has it; the message says which has not, and why.
        """
        ports = self._ports
        record = ports.journal.find(name, provider=ports.provider.name)
        if not record.is_live:
            raise Conflict(f"{record.name!r} is over; it has no nodes to upload to")
        if record.spec.code is None and folder is None:
            raise Conflict(
                f"{record.name!r} was submitted without code", hint="name a folder to upload"
            )
        source = folder or ports.code.folder_of(record.code_digest or "")
        if source is None:
            raise Conflict(
                f"it is not known here which folder the code of {record.name!r} came from",
                hint=f"`flow upload {record.name} FOLDER` names it",
            )
        is_one = record.spec.num_instances == 1
        # Many nodes are connected to while the folder is read. One is logged in to for the upload, and asked behind it.
        with ThreadPoolExecutor(1) as reading:
            packing = reading.submit(ports.code.pack, source)
            self._await_turn(record)
            view = look(ports, [record], asks_nodes=not is_one)[0]
            bundle = packing.result()
        is_new = bundle.digest != record.code_digest
        record = ports.journal.update(
            record.token, code_digest=bundle.digest, code_location=bundle.location
        )
        ports.watch.ensure()
        self._entrust(record)
        return self._brought(evolve(view, record=record), bundle, is_new)

    def _entrust(self, record: TaskRecord) -> None:
        """Give the watcher what this shell knows of the task's secrets; it may have lost them."""
        ports = self._ports
        found: dict[str, str] = {}
        for secret in record.spec.secrets:
            try:
                found.update(ports.vault.find([secret]))
            except InvalidRequest:
                continue  # the watcher may know it; where nobody does, delivering says so
        if len(found) == len(record.spec.secrets):
            ports.vault.entrust(record.token, found)

    def _brought(self, view: TaskView, bundle: Bundle, is_new: bool) -> Uploaded:
        ports, record = self._ports, view.record
        nodes = view.allocation.nodes if view.allocation is not None else ()
        if not any(node.is_reachable for node in nodes):
            return Uploaded(record=record, bundle=bundle, is_new=is_new)
        if record.spec.num_instances == 1:
            self._bring(record, nodes)
            view = evolve(view, reports=last_reports(ports, record.bid_id or ""))
            delivery = _due(ports, view)
        else:
            delivery = _due(ports, view)
            if delivery is None:
                self._bring(record, nodes)
        if delivery is not None and not deliver(ports, view, delivery):
            last = ports.journal.events(record.token)[-1]
            raise NodeUnreachable(f"{last.what}: {last.why}", hint="the watcher tries again, too")
        return Uploaded(
            record=record,
            bundle=bundle,
            is_new=is_new,
            ranks=tuple(node.rank for node in nodes),
            completed=delivery is not None,
        )

    def _await_turn(self, record: TaskRecord) -> None:
        """Return once no other process delivers to the task's nodes."""
        ports = self._ports
        waited = 0.0
        for wait in intervals(ports.provider.limits.poll_s):
            with ports.journal.claim(record.token, "deliver") as mine:
                if mine:
                    return
            if waited >= PATIENCE_S:
                raise Conflict(f"another process still delivers to the nodes of {record.name!r}")
            ports.clock.sleep(wait)
            waited += wait

    def _bring(self, record: TaskRecord, nodes: Sequence[Node]) -> None:
        """Upload to every node that is there."""
        ports = self._ports
        there = [node for node in nodes if node.is_reachable]
        problems = [
            f"node {node.rank}: it is {node.state.value}" for node in nodes if node not in there
        ]
        problems += bring_code(ports, record, there)
        if problems:
            raise NodeUnreachable(
                "\n".join(problems), hint="the others have the files; repeat for the rest"
            )
        note(ports, record.token, f"code uploaded to {len(nodes)} nodes")


def _due(ports: Ports, view: TaskView) -> Deliver | None:
    """Return the delivery that the nodes wait for, if they do."""
    seen = Seen(
        record=view.record,
        bid=view.bid,
        allocation=view.allocation or Allocation(bid_id=view.record.bid_id or ""),
        reports=view.reports,
        now=ports.provider.clock.now(),
    )
    return next((each for each in decide(seen) if isinstance(each, Deliver)), None)
