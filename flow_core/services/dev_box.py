"""The dev box of a folder: found, brought what changed, used, stopped and looked at. See docs/why/dev-box.md."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import PurePath
from typing import TYPE_CHECKING

from attrs import evolve, fields, frozen

from flow_core.domain.allocation import Address, Node, NodeState
from flow_core.domain.bid import BidState
from flow_core.domain.box import (
    COMMAND,
    IDLE,
    MARK,
    Entry,
    box_name,
    is_box,
    kit_line,
    run_line,
)
from flow_core.domain.box_inside import Inside, inside_of
from flow_core.domain.task import TaskSpec
from flow_core.domain.task_form import task_to_mapping
from flow_core.errors import (
    Conflict,
    FlowError,
    NodeUnreachable,
    NotFound,
    Unsupported,
)
from flow_core.ports.code import CodeTooLarge
from flow_core.ports.shell import Call, Events
from flow_core.services.amending import Amending
from flow_core.services.box_answers import asked, begun, has_code, mapping_of
from flow_core.services.delivering import bring_code
from flow_core.services.looking import look
from flow_core.services.tasks import Tasks

if TYPE_CHECKING:
    from flow_core.domain.code import Bundle
    from flow_core.domain.record import TaskRecord
    from flow_core.domain.status import TaskView
    from flow_core.services.ports import Ports

#: Real seconds for the user's word on what they let go.
RESET_S = 600.0


@frozen(kw_only=True)
class Stopped:
    """What a stop came to: the box waits with its disk, or is given back."""

    record: TaskRecord
    is_paused: bool
    cannot_pause: bool = False


class DevBox:
    """Does what `flow dev` asks."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._amending = Amending(ports)
        self._tasks = Tasks(ports)

    def find(
        self, folder: PurePath, *, name: str | None = None, image: str = ""
    ) -> TaskRecord | None:
        """Return the live box of `folder`, or of the nearest folder above it; `name` says which, whosever folder.

        Raises:
            Conflict: the live task of that name is no box.
        """
        live = self._ports.journal.live(provider=self._ports.provider.name)
        if name is not None:
            found = next((each for each in live if each.name == name), None)
            if found is not None and not is_box(found.spec):
                raise Conflict(f"{name!r} is a task, and no dev box", hint="choose another --name")
            return found
        wanted = self.image_of_box(image) or None
        for place in (folder, *folder.parents):
            for record in live:
                if not is_box(record.spec) or record.spec.code != str(place):
                    continue
                if not record.cancel_asked and not record.has_ended and record.spec.image == wanted:
                    return record
        return None

    def all(self) -> Sequence[TaskRecord]:
        """Return every live box of this provider, oldest first."""
        live = self._ports.journal.live(provider=self._ports.provider.name)
        return [each for each in live if is_box(each.spec) and not each.has_ended]

    def image_of_box(self, image: str) -> str:
        """Return the image that the box itself has to be of, which is none where the box is a machine."""
        return "" if self._ports.provider.limits.images_by_kit else image

    def base(
        self, folder: PurePath, *, name: str | None = None, image: str = ""
    ) -> Mapping[str, object]:
        """Return the raw form of a new box for `folder`: as its last one of that name was, where there was one."""
        image, provider = self.image_of_box(image), self._ports.provider.name
        journal = self._ports.journal
        chosen = name or box_name(
            folder.name,
            image=image,
            taken={each.name for each in journal.live(provider=provider)},
        )
        with suppress(NotFound):
            last = journal.find(chosen, provider=provider).spec
            if is_box(last) and last.code == str(folder):
                return task_to_mapping(last)
        return {
            "command": COMMAND,
            "name": chosen,
            "code": str(folder),
            "env": {MARK: "1"},
            "idle_timeout": IDLE,
            **({"image": image} if image else {}),
        }

    def adapt(self, record: TaskRecord, spec: TaskSpec) -> TaskRecord:
        """Have a live box be as `spec` says, which may change how long it stays unused, and nothing else.

        Raises:
            Conflict: it says something that a live box isn't; the message says what.
        """
        wanted = evolve(spec, idle_timeout=record.spec.idle_timeout)
        differs = [
            each.name.replace("_", "-")
            for each in fields(TaskSpec)
            if getattr(wanted, each.name) != getattr(record.spec, each.name)
        ]
        if differs:
            raise Conflict(
                f"{record.name!r} is there already, with another {', '.join(differs)}",
                hint="`flow dev stop --end` gives it back, --name NAME makes one beside it",
            )
        if spec == record.spec:
            return record
        return self._ports.journal.update(record.token, spec=spec)

    def touch(self, record: TaskRecord) -> None:
        """Have the time of idleness begin anew, because somebody is about to use the box."""
        if record.idle_since is not None:
            self._ports.journal.update(record.token, idle_since=None)

    def reach(self, record: TaskRecord, *, surely: bool = False) -> Node | None:
        """Return the box's node where it can be talked to now; a paused box is resumed, and has none yet.

        Unless that must be `surely` so, the provider isn't asked again where the node was reached before, and the
        watcher has seen no change since: whoever finds it silent then asks `surely`.

        Raises:
            Conflict: the box has ended.
        """
        ports = self._ports
        ports.watch.ensure()
        if record.bid_id is None:
            return None
        if record.last_node and record.bid_state is BidState.ALLOCATED and not surely:
            return _remembered(record.last_node)
        bids = ports.provider.market.bids(ids=[record.bid_id])
        if not bids or bids[0].state is BidState.OPEN:
            return None
        if bids[0].state is BidState.TERMINATED:
            raise Conflict(f"{record.name!r} was ended, and not by this machine")
        if bids[0].state is BidState.PAUSED:
            self._amending.resume(record.token)
            return None
        nodes = ports.provider.fleet.allocations([record.bid_id])[record.bid_id].nodes
        found = next((node for node in nodes if node.is_reachable), None)
        last = "" if found is None else _as_text(found)
        if last != record.last_node:
            ports.journal.update(record.token, last_node=last)
        return found

    def sync(self, record: TaskRecord, node: Node) -> TaskRecord:
        """Bring the box what changed in its folder since the last time, and return its record.

        Raises:
            InvalidRequest: the folder can't be read, or changes while it is.
            CodeTooLarge: see `ports.code.CodeStore.pack`.
            NodeUnreachable: it doesn't have all of it.
        """
        return self._brought(record, node, self._ports.code.pack(record.spec.code or "."))

    def run(
        self,
        record: TaskRecord,
        node: Node,
        line: str,
        entry: Entry,
        *,
        stdin: bytes | Iterable[bytes] = b"",
    ) -> Events:
        """Run a line on the box, whose code was just synced, and yield what happens; see `RemoteShell.run_many`."""
        brought = record.code_digest or ""
        call = Call(node=node, line=run_line(entry, line, brought=brought), stdin=stdin, lone=True)
        return self._ports.provider.shell.run_many([call])

    def run_at_once(self, record: TaskRecord, node: Node, line: str, entry: Entry) -> Events | None:
        """Run a line without a sync where nothing has changed here and the box says that it has all; else after one.

        None where somebody is to be asked about the folder's size first: then nothing was run.

        Raises:
            NodeUnreachable: the box gives no answer, or doesn't have all that changed; nothing was run.
        """
        bundle = self._packed(record)
        if bundle is None:
            return None
        if bundle.digest == record.code_digest:
            call = Call(node=node, line=run_line(entry, line, expects=bundle.digest), lone=True)
            events = begun(self._ports.provider.shell.run_many([call]))
            if events is not None:
                return events
        return self.run(self._brought(record, node, bundle), node, line, entry)

    def sync_at_once(self, record: TaskRecord, node: Node) -> TaskRecord | None:
        """Bring the box what changed, as `sync` does, unless it says that it has all; return its record.

        None where somebody is to be asked about the folder's size first.

        Raises:
            NodeUnreachable: the box gives no answer, or doesn't have all that changed.
        """
        bundle = self._packed(record)
        if bundle is None:
            return None
        if bundle.digest == record.code_digest and has_code(
            self._ports.provider.shell, node, bundle.digest
        ):
            return record
        return self._brought(record, node, bundle)

    def attach(self, record: TaskRecord, node: Node, line: str | None, entry: Entry) -> int:
        """Give this terminal to a line, or to a shell, on the box, whose code was just synced; return its exit code.

        Raises:
            NodeUnreachable: the box gave no answer.
        """
        brought = record.code_digest or ""
        text = run_line(entry, line, terminal=True, brought=brought)
        return self._ports.provider.shell.attach(node, text)

    def has_kit(self, node: Node) -> bool:
        """Whether the box has what runs commands, so that `NOT_READY` was a command's own exit code."""
        try:
            asked(self._ports.provider.shell, node, kit_line("look"))
        except NodeUnreachable:
            return False
        return True

    def stop(self, record: TaskRecord, *, end: bool = False) -> Stopped:
        """Have the box cost nothing: paused, so that its disk stays, or ended where that can't be or `end` is said."""
        cannot = False
        if not end:
            try:
                self._amending.pause(record.token)
                self._ports.journal.update(record.token, idle_since=None, last_node="")
                return Stopped(record=self._tasks.record(record.token), is_paused=True)
            except Unsupported:
                cannot = True
            except Conflict:  # no bid of it is known yet, so there is nothing to keep
                pass
        return Stopped(
            record=self._tasks.cancel(record.token), is_paused=False, cannot_pause=cannot
        )

    def reset(self, node: Node, *, env: str = "", image: str = "") -> Mapping[str, object]:
        """Forget an environment or a container of the box, or all of them and the workspace; return what went."""
        told = {"env": env, "image": image}
        said = asked(
            self._ports.provider.shell, node, kit_line("reset", json.dumps(told)), timeout_s=RESET_S
        )
        return mapping_of(said)

    def look(self, record: TaskRecord) -> tuple[TaskView, Inside]:
        """Return what is known of the box, and what it tells of itself."""
        view = look(self._ports, [record])[0]
        nodes = view.allocation.nodes if view.allocation is not None else ()
        node = next((each for each in nodes if each.is_reachable), None)
        if node is None:
            return view, Inside(trouble=f"it is {view.state.value}")
        try:
            told = mapping_of(asked(self._ports.provider.shell, node, kit_line("look")))
        except FlowError as refused:
            return view, Inside(trouble=refused.message)
        return view, inside_of(told)

    def share(self, node: Node, *, name: str, key: str) -> Mapping[str, object]:
        """Let the holder of a public key in over SSH, as a user of the node; return where their home is.

        Raises:
            Unsupported: the provider's nodes have no SSH, or this box can't have another user.
        """
        provider = self._ports.provider
        if provider.ssh is None:
            raise Unsupported(
                f"nodes of {provider.name} have no SSH server, so nobody can be let in",
                hint="share a box on a provider whose nodes have addresses; `flow provider list` shows which",
            )
        told = json.dumps({"name": name, "key": key}).encode()
        try:
            return mapping_of(
                asked(self._ports.provider.shell, node, kit_line("share"), stdin=told)
            )
        except Conflict as refused:
            raise Unsupported(refused.message) from refused

    def unshare(self, node: Node, name: str) -> None:
        """Let somebody in no more; what runs of theirs ends, and their home goes.

        Raises:
            NotFound: nobody of that name was let in.
        """
        try:
            asked(self._ports.provider.shell, node, kit_line("unshare", name))
        except Conflict as refused:
            raise NotFound(refused.message, hint="`flow dev status` lists who is let in") from None

    def _packed(self, record: TaskRecord) -> Bundle | None:
        """Return what the folder holds now; None where it has grown so large that somebody is to be asked."""
        try:
            return self._ports.code.pack(record.spec.code or ".")
        except CodeTooLarge:
            return None

    def _brought(self, record: TaskRecord, node: Node, bundle: Bundle) -> TaskRecord:
        ports = self._ports
        if bundle.digest != record.code_digest:
            # Before the node has it, so that one that takes its place is brought the same.
            record = ports.journal.update(
                record.token, code_digest=bundle.digest, code_location=bundle.location
            )
        problems = bring_code(ports, record, [node])
        if problems:
            raise NodeUnreachable("; ".join(problems), hint="nothing was run")
        return record


def _as_text(node: Node) -> str:
    where = node.address
    told = [where.host, where.port, where.user] if where is not None else None
    return json.dumps([node.id, node.rank, node.private_ip, told])


def _remembered(text: str) -> Node:
    name, rank, private_ip, told = json.loads(text)
    address = Address(*told) if told is not None else None
    return Node(id=name, rank=rank, state=NodeState.RUNNING, address=address, private_ip=private_ip)
