"""Making the box of a folder, or holding options against the one that is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flow_cli.following import bidding_words, stay_with
from flow_cli.invocation import Invocation
from flow_cli.show.dev import made_line
from flow_cli.show.plans import instance_panel
from flow_cli.sizing import with_size_agreed
from flow_cli.task_options import confirm_choice, raw_task
from flow_core.domain.record import TaskRecord
from flow_core.domain.status import TaskState
from flow_core.domain.task_form import task_from_mapping, task_to_mapping
from flow_core.errors import TaskFailed
from flow_core.services.session import Session

if TYPE_CHECKING:
    from flow_cli.dev_calling import Wish


def make_box(invocation: Invocation, session: Session, wish: Wish) -> TaskRecord:
    """Plan, confirm and place a box for the folder; return its record once it runs.

    Raises:
        TaskFailed: it ended before it ran.
        KeyboardInterrupt: it goes on without this terminal.
    """
    base = session.dev_box.base(wish.folder, name=wish.name, image=wish.image)
    asked = task_from_mapping(raw_task(wish.given, base))
    plan = session.tasks.plan(asked)
    limits = session.provider.limits
    if not invocation.json:
        panel = instance_panel(plan, workspace=limits.workspace, simulated=limits.simulated)
        invocation.talk.show(panel)
    confirm_choice(invocation, session, asked, plan, yes=wish.yes)
    first, later = bidding_words(invocation, plan)

    def submitted() -> TaskRecord:
        with invocation.talk.waiting() as wait:
            wait.tell(first, at_once=True)
            return session.tasks.submit(plan.spec, plan=plan)

    record = with_size_agreed(invocation, session, submitted, yes=wish.yes)
    view = stay_with(
        invocation, session, record, bidding=later,
        enough=lambda seen: seen.state is TaskState.RUNNING,
    )  # fmt: skip
    if view.state.is_final:
        raise TaskFailed(
            f"{record.name!r} ended before it ran: {view.record.reason or view.state.value}", exit_code=1,
            hint=f"`flow status {record.name}` shows its history",
        )  # fmt: skip
    invocation.talk.say(made_line(record, pauses=limits.pauses), "dim")
    return view.record


def adapted(session: Session, record: TaskRecord, wish: Wish) -> TaskRecord:
    """Return the live box's record, as options want it.

    Raises:
        Conflict: they want another box than it is.
    """
    spec = task_from_mapping(raw_task(wish.given, task_to_mapping(record.spec)))
    return session.dev_box.adapt(record, spec)
