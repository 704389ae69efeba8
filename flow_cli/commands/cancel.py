"""`flow cancel`: end tasks and their cost."""

from __future__ import annotations

import click

from flow_cli.command import FlowCommand, yes_option
from flow_cli.completing import task_names
from flow_cli.ending import end_tasks
from flow_cli.invocation import Invocation, pass_invocation


@click.command(cls=FlowCommand)
@click.argument("tasks", metavar="TASK…", nargs=-1, required=True, shell_complete=task_names)
@yes_option("End kept ones too")
@pass_invocation
def cancel(invocation: Invocation, tasks: tuple[str, ...], yes: bool) -> None:
    """End each TASK and its cost. Its log stays readable.

    A task whose nodes are kept, such as an instance, is asked about first.
    """
    session = invocation.session()
    records = [session.tasks.record(name) for name in tasks]
    end_tasks(
        invocation,
        session,
        records,
        asks_for=[each for each in records if each.spec.keep and each.is_live],
        yes=yes,
    )
