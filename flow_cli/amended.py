"""Changing a bid and saying what came of it; behind `flow instance limit`, `pause` and `resume`."""

from __future__ import annotations

from collections.abc import Callable

from flow_cli.invocation import Invocation
from flow_cli.show.tasks import task_json
from flow_core.domain.status import TaskView
from flow_core.services.amending import Amending


def amended(invocation: Invocation, name: str, change: Callable[[Amending], TaskView]) -> None:
    """Make one change to a bid and tell how it stands then."""
    session = invocation.session()
    before = session.tasks.record(name)
    view = change(session.amending)
    if invocation.json:
        invocation.out.document("task", {"task": task_json(view)})
        return
    record = view.record
    what = f"{record.name} is {view.state.value}, at most {record.limit}/hr per instance"
    if record.limit != before.limit:
        what += f" (it was {before.limit}/hr)"
    if session.provider.limits.simulated:
        what += ", simulated"
    invocation.talk.say(f"✓ {what}", "green")
    reason = session.tasks.waits_for(view)
    if reason is not None:
        invocation.talk.say(reason.text(session.provider.clock.now()))
