"""`flow cancel`: end tasks and their cost."""

from __future__ import annotations

import click

from flow_cli.command import FlowCommand, yes_option
from flow_cli.completing import task_names
from flow_cli.ending import end_tasks
from flow_cli.grouping import is_group
from flow_cli.invocation import Invocation, pass_invocation


@click.command(cls=FlowCommand)
@click.argument("tasks", metavar="TASK…", nargs=-1, required=True, shell_complete=task_names)
@yes_option("End kept ones too")
@pass_invocation
def cancel(invocation: Invocation, tasks: tuple[str, ...], yes: bool) -> None:
    """End each TASK and its cost. Its log stays readable. An array or a sweep is ended by its name, too.

    A task whose nodes are kept, such as an instance, is asked about first.
    """
    session = invocation.session()
    found = {name: session.groups.called(name) for name in tasks}
    whole = {name for name, each in found.items() if is_group(name, each)}
    records = [record for each in found.values() for record in each]
    end_tasks(
        invocation,
        session,
        [record for name, each in found.items() if name not in whole for record in each],
        asks_for=[each for each in records if each.spec.keep and each.is_live],
        yes=yes,
        groups=list(dict.fromkeys(found[name][0].group_token for name in tasks if name in whole)),
    )
