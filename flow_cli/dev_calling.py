"""One call of `flow dev`: the box found or made, awake, up to date, and the command run on it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from attrs import frozen

from flow_cli import exit_codes
from flow_cli.host_keys import trusted
from flow_cli.invocation import Invocation
from flow_cli.log_lines import sink_for
from flow_cli.sizing import with_size_agreed
from flow_core.domain.allocation import Node
from flow_core.domain.box import NOT_READY, Entry
from flow_core.domain.record import TaskRecord
from flow_core.domain.run import LogPiece
from flow_core.domain.status import TaskState
from flow_core.errors import NodeUnreachable, TaskFailed
from flow_core.ports.shell import Events, NodeExit, NodeOutput
from flow_core.services.session import Session

#: How often a node that is up and hasn't its files yet is waited for.
_TRIES = 3


@frozen(kw_only=True)
class Wish:
    """Which box is meant, and what it is to be where there is none."""

    folder: Path
    name: str | None
    image: str
    given: Mapping[str, object]
    variables: Mapping[str, str]
    yes: bool


def use(
    invocation: Invocation,
    session: Session,
    wish: Wish,
    entry: Entry,
    line: str | None,
    *,
    watch: bool,
) -> int:
    """Run `line`, or a shell, on the box, and return its code."""
    record = box_to_use(invocation, session, wish)
    entry = _below(entry, record, wish.folder)
    if watch and line is not None:
        from flow_cli.dev_watching import watch_and_run

        return watch_and_run(invocation, session, record, entry, line, yes=wish.yes)
    command = _Command(invocation, session, entry, line)
    at_once = command.run_at_once(record)
    if at_once is not None:
        return at_once
    for _ in range(_TRIES):
        record, node = ready(invocation, session, record, yes=wish.yes)
        code = command.run(record, node)
        if code != NOT_READY or session.dev_box.has_kit(node):
            return code
        _await(invocation, session, record)
    raise NodeUnreachable(f"{record.name} has no files yet", hint=f"flow status {record.name}")


def ready(
    invocation: Invocation, session: Session, record: TaskRecord, *, yes: bool
) -> tuple[TaskRecord, Node]:
    """Return the box's record and node once it has what changed.

    Raises:
        NodeUnreachable: it gives no answer though it should; nothing was run.
    """
    box = session.dev_box
    box.touch(record)
    node = box.reach(record)
    for tries in range(_TRIES):
        if node is not None:
            try:
                return synced(invocation, session, record, node, yes=yes), node
            except NodeUnreachable:  # it comes or goes, or is elsewhere by now
                box.reach(record, surely=True)
                if tries == _TRIES - 1:
                    raise
        _await(invocation, session, record)
        node = box.reach(record, surely=True)
    raise NodeUnreachable(f"{record.name} can't be reached", hint=f"flow status {record.name}")


def box_to_use(invocation: Invocation, session: Session, wish: Wish) -> TaskRecord:
    """Return the live box that was meant; one is made, and waited for, where there is none."""
    found = session.dev_box.find(wish.folder, name=wish.name, image=wish.image)
    if found is None:
        from flow_cli.dev_making import make_box

        return make_box(invocation, session, wish)
    if any(value not in (None, (), False) for value in wish.given.values()):
        from flow_cli.dev_making import adapted

        return adapted(session, found, wish)
    return found


def node_to_use(invocation: Invocation, session: Session, record: TaskRecord) -> Node:
    """Return the box's node, after the box was resumed and waited for where that is needed."""
    session.dev_box.touch(record)
    node = session.dev_box.reach(record, surely=True)
    if node is not None and session.tasks.view(record.token).state is TaskState.RUNNING:
        return node
    _await(invocation, session, record)
    node = session.dev_box.reach(record, surely=True)
    if node is None:
        raise NodeUnreachable(f"{record.name} can't be reached", hint=f"flow status {record.name}")
    return node


def synced(
    invocation: Invocation, session: Session, record: TaskRecord, node: Node, *, yes: bool
) -> TaskRecord:
    """Bring the box what changed; more than is uploaded unasked is asked about."""

    def bring() -> TaskRecord:
        return session.dev_box.sync(record, node)

    try:
        return with_size_agreed(invocation, session, bring, yes=yes)
    except NodeUnreachable:
        if not trusted(invocation, session, [node], agreed=False):
            raise
    return with_size_agreed(invocation, session, bring, yes=yes)


@frozen
class _Command:
    """A line, or a shell where there is none, and what it is run in."""

    invocation: Invocation
    session: Session
    entry: Entry
    line: str | None

    def run(self, record: TaskRecord, node: Node) -> int:
        """Run it on a box that has its files, and return its code."""
        if self.line is None or self._is_typed_at():
            return self._attach(record, node)
        return self._show(record, self.session.dev_box.run(record, node, self.line, self.entry))

    def run_at_once(self, record: TaskRecord) -> int | None:
        """Run it where the box was reached before, once it has its files; None where it was not run."""
        box = self.session.dev_box
        box.touch(record)
        node = box.reach(record) if record.last_node else None
        if node is None:
            return None
        brought, events = None, None
        try:
            if self.line is None or self._is_typed_at():
                brought = box.sync_at_once(record, node)
            else:
                events = box.run_at_once(record, node, self.line, self.entry)
        except NodeUnreachable:  # it comes or goes, or is elsewhere by now
            return None
        if brought is not None:
            code = self._attach(brought, node)
        elif events is not None:
            code = self._show(record, events)
        else:
            return None
        return None if code == NOT_READY and not box.has_kit(node) else code

    def _is_typed_at(self) -> bool:
        return not self.invocation.json and sys.stdin.isatty() and sys.stdout.isatty()

    def _attach(self, record: TaskRecord, node: Node) -> int:
        code = self.session.dev_box.attach(record, node, self.line, self.entry)
        if self.line is None:
            from flow_cli.show.dev import leaving_line

            provider = self.session.provider
            pauses, now = provider.limits.pauses, provider.clock.now()
            self.invocation.talk.say(leaving_line(record, pauses=pauses, now=now), "dim")
        return code

    def _show(self, record: TaskRecord, happening: Events) -> int:
        invocation = self.invocation
        sink = sink_for(
            invocation.out, invocation.talk, json=invocation.json, nodes=1, split=True,
            colour=not invocation.no_color,
        )  # fmt: skip
        code = exit_codes.OWN_FAILURE
        with closing(happening) as events:
            try:
                for event in events:
                    if isinstance(event, NodeOutput):
                        now = self.session.ports.clock.now()
                        sink.take(0, LogPiece(event.stream, now, event.data))
                    elif isinstance(event, NodeExit):
                        code = event.code
                    else:
                        raise NodeUnreachable(
                            f"{record.name} was lost: {event.reason}",
                            hint=f"`flow status {record.name}` says why; whether the command ended is not known",
                        )
            finally:
                sink.end()
        if invocation.json:
            invocation.out.document("dev-run", {"task": record.name, "exit_code": code})
        return code


def _await(invocation: Invocation, session: Session, record: TaskRecord) -> None:
    """Return once the box runs; meanwhile say what it waits for.

    Raises:
        TaskFailed: it ended instead.
    """
    from flow_cli.following import stay_with

    view = stay_with(
        invocation, session, record, bidding=f"Waiting for {record.name}:",
        enough=lambda seen: seen.state is TaskState.RUNNING,
    )  # fmt: skip
    if view.state.is_final:
        raise TaskFailed(
            f"{record.name!r} ended before it could be used: {view.record.reason or view.state.value}",
            exit_code=1,
            hint=f"`flow status {record.name}` shows its history",
        )


def _below(entry: Entry, record: TaskRecord, folder: Path) -> Entry:
    """Have a command run in the same folder of the code as it was called from."""
    from attrs import evolve

    code = Path(record.spec.code or folder)
    if folder == code or not folder.is_relative_to(code):
        return entry
    return evolve(entry, folder=folder.relative_to(code).as_posix())
