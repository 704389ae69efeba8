"""Staying with a task until it has ended: saying what it waits for, and passing its log on as it comes."""

from __future__ import annotations

from collections.abc import Callable

from flow_cli.invocation import Invocation
from flow_cli.log_lines import Sink
from flow_cli.show.plans import bidding_line, launch_line, reserved_line
from flow_cli.streams import Wait
from flow_core.domain.placement import Plan
from flow_core.domain.record import TaskRecord
from flow_core.domain.status import TaskState, TaskView
from flow_core.errors import NodeUnreachable, NotFound, Transient
from flow_core.services.session import Session
from flow_core.services.tasks import Progress

_WITH_NODES = frozenset(
    {TaskState.STARTING, TaskState.RUNNING, TaskState.PREEMPTING, TaskState.RELOCATING}
)


class LogTail:
    """How far each node's log has been read."""

    def __init__(self, session: Session, record: TaskRecord, sink: Sink) -> None:
        self._session = session
        self._token = record.token
        self._sink = sink
        self._offsets = dict.fromkeys(range(record.spec.num_instances), 0)

    @property
    def is_done(self) -> bool:
        """Whether every log was read to its end."""
        return not self._offsets

    def pull(self, before: Callable[[], None]) -> bool:
        """Pass on what came since the last time; call `before` first when there is something. False if nothing came."""
        came = False
        for rank in list(self._offsets):
            came = self._pull(rank, before) or came
        return came

    def end(self) -> None:
        """Pass on unfinished lines."""
        self._sink.end()

    def _pull(self, rank: int, before: Callable[[], None]) -> bool:
        came = False
        while rank in self._offsets:
            try:
                chunk = self._session.tasks.log(self._token, rank, offset=self._offsets[rank])
            except (NotFound, NodeUnreachable, Transient):
                return came  # the node hasn't spoken yet, or is away; the next look tries again
            if chunk.pieces and not came:
                before()
                came = True
            for piece in chunk.pieces:
                self._sink.take(rank, piece)
            moved = chunk.next_offset != self._offsets[rank]
            self._offsets[rank] = chunk.next_offset
            if chunk.is_last:
                del self._offsets[rank]
            elif not moved:
                return came
        return came


def stay_with(
    invocation: Invocation,
    session: Session,
    record: TaskRecord,
    *,
    bidding: str = "",
    sink: Sink | None = None,
    enough: Callable[[TaskView], bool] = lambda view: False,
) -> TaskView:
    """Return the task's last view once it has ended, or `enough` says so; meanwhile say why it isn't further on.

    `bidding` is said while it has no nodes yet. With a `sink` the log is passed on.
    """
    talk = invocation.talk
    tail = LogTail(session, record, sink) if sink is not None else None
    launched = False
    view: TaskView | None = None
    with talk.waiting() as wait:
        if bidding:
            wait.tell(bidding)
        for progress in session.tasks.follow(record.token):
            view = progress.view
            if not launched and _has_nodes(view):
                launched = True
                wait.end()
                _say_launched(invocation, session, view)
            if tail is not None and view.reports:
                tail.pull(wait.end)
            if enough(view):
                break
            _tell(wait, progress, bidding if not launched else "")
    if tail is not None:
        if view is not None and view.state.is_final:
            tail.pull(lambda: None)
        tail.end()
    if view is None:
        raise NotFound(f"no task is named {record.name!r}")
    return view


def bidding_words(invocation: Invocation, plan: Plan) -> tuple[str, str]:
    """Return what to say as the bid leaves, and what to go on saying until it is granted.

    A line that stays is said once; one that moves keeps its beginning.
    """
    line = bidding_line(plan) if plan.spec.reservation is None else reserved_line(plan)
    return (line, line) if invocation.talk.is_terminal else (f"⠋ {line}", "")


def _has_nodes(view: TaskView) -> bool:
    return view.record.began_at is not None or view.state in _WITH_NODES


def _say_launched(invocation: Invocation, session: Session, view: TaskView) -> None:
    shape = view.record.spec.instance_type
    if shape is None:
        return
    if view.record.spec.reservation is not None:
        invocation.talk.say(f"✓ Launching on {shape.gpu_label} of the reservation", "green")
        return
    quote = session.tasks.quote(view.record)
    price = quote.price if quote is not None else view.record.limit
    line = launch_line(shape, min(price, view.record.limit), count=view.record.spec.num_instances)
    invocation.talk.say(f"✓ {line}", "green")


def _tell(wait: Wait, progress: Progress, bidding: str) -> None:
    if progress.waiting is None:
        wait.end()
    elif not bidding:
        wait.tell(progress.waiting.what, elapsed=progress.elapsed, then=progress.waiting.then)
    elif progress.elapsed.total_seconds() >= 1:
        wait.tell(
            f"{bidding} {progress.waiting.what}",
            elapsed=progress.elapsed,
            then=progress.waiting.then,
        )
