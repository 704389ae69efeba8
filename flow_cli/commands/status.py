"""`flow status`: the list of tasks, or one in detail."""

from __future__ import annotations

import click

from flow_cli.command import FlowCommand
from flow_cli.completing import task_names
from flow_cli.elsewhere import placed_elsewhere
from flow_cli.grouping import is_group
from flow_cli.invocation import Invocation, pass_invocation
from flow_cli.people import people_of
from flow_cli.show.instances import owner_of
from flow_cli.show.tasks import task_json, task_panel, task_table
from flow_cli.watching import watched
from flow_core.domain.duration import parse_duration
from flow_core.services.session import Session

#: How many ended tasks the list shows without `--all`.
RECENT = 10
#: More than any journal holds.
_ALL = 1 << 31


@click.command(cls=FlowCommand)
@click.argument("task", required=False, shell_complete=task_names)
@click.option(
    "-a",
    "--all",
    "everything",
    is_flag=True,
    help=f"Show every task that ever was, not only the {RECENT} that ended last.",
)
@click.option(
    "--why",
    is_flag=True,
    help="Show all that happened to TASK, whose fault it was, its tries, and what its recovery does.",
)
@click.option(
    "-w",
    "--watch",
    "stays",
    is_flag=True,
    help="Stay, and show bids, prices, nodes, spend and logs as they change; q ends it.",
)
@click.option(
    "--every",
    metavar="DURATION",
    help="With --watch, how often to look.  [default: as often as the provider finds worth it]",
)
@pass_invocation
def status(
    invocation: Invocation,
    task: str | None,
    everything: bool,
    why: bool,
    stays: bool,
    every: str | None,
) -> None:
    """Show live tasks and those that ended last, or TASK in detail with what happened to it last.

    With --watch and no terminal, or with --json, what changes is told until nothing is live any more.
    """
    invocation.spelled["every"] = "--every"
    if why and (task is None or stays):
        raise click.UsageError("--why tells of one task, once: `flow status TASK --why`")
    session = invocation.session()
    if stays:
        _watch(invocation, session, task, every)
        return
    if task is not None:
        records = session.groups.called(task)
        if is_group(task, records):
            _show_group(invocation, session, records[0].group_token)
        else:
            _show_one(invocation, session, task, why=why)
    else:
        _show_all(invocation, session, ended=_ALL if everything else RECENT)


def _watch(invocation: Invocation, session: Session, task: str | None, every: str | None) -> None:
    from flow_cli.live import LEAST_S, watch

    usual = session.provider.limits.poll_s
    every_s = parse_duration(every, field="every").total_seconds() if every is not None else usual
    records = session.ports.journal.live(provider=session.provider.name)
    watched(invocation, session, is_live=bool(records))
    watch(invocation, session, task=task, every_s=max(every_s, LEAST_S))


def _show_one(invocation: Invocation, session: Session, name: str, *, why: bool) -> None:
    view = session.tasks.view(name)
    record = view.record
    cost = session.costs.of([record])[record.token]
    reason = session.tasks.waits_for(view)
    history = session.tasks.history(record.token)
    watch = watched(invocation, session, is_live=record.is_live)
    if invocation.json:
        task = task_json(view, cost=cost, waits_for=reason, history=history)
        invocation.out.document("task", {"task": task, **watch})
        return
    simulated = session.provider.limits.simulated
    now = session.provider.clock.now()
    invocation.out.show(
        task_panel(
            view,
            now=now,
            cost=cost,
            waits_for=reason,
            history=history,
            simulated=simulated,
            owner=owner_of(view, people_of(session)),
            why=why,
        )
    )


def _show_group(invocation: Invocation, session: Session, token: str) -> None:
    from flow_cli.show.groups import group_json, group_table

    view = session.groups.view(token)
    costs = session.costs.of([each.record for each in view.views])
    watch = watched(invocation, session, is_live=not view.is_final)
    if invocation.json:
        tasks = [task_json(each, cost=costs[each.record.token]) for each in view.views]
        groups = [group_json(view, costs)]
        invocation.out.document("task-list", {"tasks": tasks, "groups": groups, **watch})
        return
    simulated = session.provider.limits.simulated
    invocation.out.show(group_table(view, costs, simulated=simulated))


def _show_all(invocation: Invocation, session: Session, *, ended: int) -> None:
    from flow_cli.show.groups import group_json, group_row

    views = session.tasks.views(ended=ended)
    groups = session.groups.behind(views)
    behind = [each.record for group in groups.values() for each in group.views]
    costs = session.costs.of([*(view.record for view in views), *behind])
    watch = watched(invocation, session, is_live=any(view.record.is_live for view in views))
    others = placed_elsewhere(invocation, session)
    if invocation.json:
        tasks = [task_json(view, cost=costs[view.record.token]) for view in views]
        about = [group_json(group, costs) for group in groups.values()]
        invocation.out.document("task-list", {"tasks": tasks, "groups": about, **watch, **others})
        return
    now = session.provider.clock.now()
    rows = {token: group_row(group, costs, now=now) for token, group in groups.items()}
    simulated = session.provider.limits.simulated
    invocation.out.show(task_table(views, costs, now, simulated=simulated, folded=rows))
