"""Code brought to a task's nodes anew: because it changed, or because whoever delivered it died half-way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

from attrs import evolve, frozen

from flow_core.domain.actions import Deliver
from flow_core.domain.allocation import Allocation, Node
from flow_core.domain.code import Bundle
from flow_core.domain.lifecycle import Seen, decide
from flow_core.domain.record import TaskRecord
from flow_core.domain.status import TaskView
from flow_core.errors import Conflict, InvalidRequest, NodeUnreachable
from flow_core.ports.code import Packing
from flow_core.services.delivering import bring, deliver
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


class _Noted:
    """A snapshot that is told of once it is whole, before anybody else hears of that. Threads may share it."""

    def __init__(self, packing: Packing, tell: Callable[[Bundle], None]) -> None:
        self._packing = packing
        self._tell = tell
        self._lock = threading.Lock()
        self._is_told = False

    def done(self) -> Bundle:
        """See `Packing.done`."""
        return self._told(self._packing.done())

    def taken(self) -> Bundle:
        """See `Packing.taken`."""
        return self._told(self._packing.taken())

    @property
    def is_done(self) -> bool:
        """See `Packing.is_done`."""
        return self._packing.is_done

    def pieces(self) -> Iterator[bytes]:
        """See `Packing.pieces`."""
        return self._packing.pieces()

    def close(self) -> None:
        """See `Packing.close`."""
        self._packing.close()

    def _told(self, bundle: Bundle) -> Bundle:
        with self._lock:
            if not self._is_told:
                self._tell(bundle)
                self._is_told = True
        return bundle


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
        # Nodes are reached while the folder is read: many are asked, and one is sent what has been read already, and
        # asked behind it.
        with closing(ports.code.packing(source)) as packing:
            self._await_turn(record)
            view = look(ports, [record], asks_nodes=not is_one)[0]
            return self._brought(view, _Noted(packing, lambda bundle: self._note(record, bundle)))

    def _note(self, record: TaskRecord, bundle: Bundle) -> None:
        """Have everybody know what the task's code is now, and the watcher see to it."""
        ports = self._ports
        ports.journal.update(record.token, code_digest=bundle.digest, code_location=bundle.location)
        ports.watch.ensure()
        self._entrust(record)

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

    def _brought(self, view: TaskView, packing: Packing) -> Uploaded:
        ports, old = self._ports, view.record
        nodes = view.allocation.nodes if view.allocation is not None else ()
        is_one, is_there = old.spec.num_instances == 1, any(node.is_reachable for node in nodes)
        problems: list[str] = []
        if is_there and (is_one or _due(ports, view) is None):
            problems = self._bring(old, nodes, packing)
        bundle = packing.taken()
        if problems:
            raise NodeUnreachable(
                "\n".join(problems), hint="the others have the files; repeat for the rest"
            )
        record = ports.journal.find(old.token)
        if is_there and is_one:
            view = evolve(view, reports=last_reports(ports, record.bid_id or ""))
        view = evolve(view, record=record)
        delivery = _due(ports, view) if is_there else None
        if delivery is not None and not deliver(ports, view, delivery):
            last = ports.journal.events(record.token)[-1]
            raise NodeUnreachable(f"{last.what}: {last.why}", hint="the watcher tries again, too")
        return Uploaded(
            record=record,
            bundle=bundle,
            is_new=bundle.digest != old.code_digest,
            ranks=tuple(node.rank for node in nodes) if is_there else (),
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

    def _bring(self, record: TaskRecord, nodes: Sequence[Node], packing: Packing) -> list[str]:
        """Upload to every node that is there; return what went wrong."""
        ports = self._ports
        there = [node for node in nodes if node.is_reachable]
        problems = [
            f"node {node.rank}: it is {node.state.value}" for node in nodes if node not in there
        ]
        problems += bring(ports, record, there, packing)
        if not problems:
            note(ports, record.token, f"code uploaded to {len(nodes)} nodes")
        return problems


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
