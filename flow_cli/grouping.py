"""Staying with a group of tasks: how many are where while it goes on, and a table once it is over."""

from __future__ import annotations

from collections.abc import Sequence

from flow_cli.invocation import Invocation
from flow_cli.show.groups import group_words
from flow_core.domain.group import GroupView
from flow_core.domain.record import Outcome, TaskRecord
from flow_core.services.session import Session

#: Exit code of a group in which a task ended for another reason than its command.
ENDED_OTHERWISE = 1


def stay_with_group(invocation: Invocation, session: Session, token: str) -> GroupView:
    """Return the group's last view once all of it has ended; meanwhile say how many are in which state.

    Raises:
        KeyboardInterrupt: the user has seen enough; the group goes on.
    """
    begun = session.ports.clock.now()
    view = None
    with invocation.talk.waiting() as wait:
        for view in session.groups.follow(token):
            wait.tell(
                f"{view.name}: {group_words(view)}", elapsed=session.ports.clock.now() - begun
            )
    assert view is not None, "a group has tasks, so there is a look at it"
    return view


def is_group(name: str, found: Sequence[TaskRecord]) -> bool:
    """Whether what `Groups.called` found under `name` is a whole group, rather than one task."""
    return bool(found[0].group) and name not in (found[0].name, found[0].token)


def exit_code_of(view: GroupView) -> int:
    """Return the highest exit code, or 1 where a task ended without one."""
    code = view.exit_code or 0
    if code == 0 and any(each.record.outcome is not Outcome.SUCCEEDED for each in view.views):
        return ENDED_OTHERWISE
    return code
