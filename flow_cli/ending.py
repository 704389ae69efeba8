"""Ending tasks, asked about first where something is lost by it; behind `flow cancel` and `flow instance delete`."""

from __future__ import annotations

from collections.abc import Sequence

from flow_cli.invocation import Invocation
from flow_cli.show.tasks import task_json
from flow_core.domain.record import TaskRecord
from flow_core.errors import FlowError
from flow_core.services.session import Session


def end_tasks(
    invocation: Invocation,
    session: Session,
    records: Sequence[TaskRecord],
    *,
    asks_for: Sequence[TaskRecord],
    yes: bool,
    groups: Sequence[str] = (),
) -> None:
    """End every record's task, once those of `asks_for` were agreed to, and say what came of each.

    `groups` are the tokens of groups of tasks that are ended whole.

    Raises:
        FlowError: the user said no; nothing was ended.
        InvalidRequest: there is nobody to ask.
    """
    if asks_for and not yes:
        names = ", ".join(record.name for record in asks_for)
        question = f"End {names}? The nodes go back, and what is on their disks is lost."
        if not invocation.talk.ask(
            question, unasked=f"{names} can't be ended unasked, and there is no terminal to ask on"
        ):
            raise FlowError("not confirmed; nothing was ended")
    ended = [session.tasks.cancel(record.token) for record in records]
    whole = {token: session.groups.members(token) for token in groups}
    members = [record for token in groups for record in session.groups.cancel(token)]
    if invocation.json:
        ended += members
        views = [session.tasks.view(record.token) for record in ended]
        invocation.out.document("task-list", {"tasks": [task_json(view) for view in views]})
        return
    for before, after in zip(records, ended, strict=True):
        if before.is_live:
            invocation.talk.say(f"✓ {after.name} is cancelled", "green")
        else:
            outcome = after.outcome.value if after.outcome is not None else "ended"
            invocation.talk.say(f"{after.name} had ended already: {outcome}")
    for before_all in whole.values():
        count = sum(record.is_live for record in before_all)
        name, many = before_all[0].group, "task is" if count == 1 else "tasks are"
        if count:
            invocation.talk.say(f"✓ {name}: {count:,} {many} cancelled", "green")
        else:
            invocation.talk.say(f"{name} had ended already")
