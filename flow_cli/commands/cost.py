"""`flow cost`: what was spent, by task and owner."""

from __future__ import annotations

import click
from attrs import evolve

from flow_cli.command import FlowCommand
from flow_cli.invocation import Invocation, pass_invocation
from flow_cli.people import people_of
from flow_cli.show.costs import bill_json, bill_table, price_table
from flow_core.domain.moment import parse_since
from flow_core.errors import NotFound
from flow_core.services.costs import bill


@click.command(cls=FlowCommand)
@click.argument("task", required=False)
@click.option(
    "--since",
    default="30d",
    metavar="WHEN",
    show_default=True,
    help="From when on: how long ago, such as 7d, or a moment such as 2026-11-01.",
)
@pass_invocation
def cost(invocation: Invocation, task: str | None, since: str) -> None:
    """Add up what was spent, by task and owner; with TASK, show the prices behind its cost.

    Only what was paid since counts, to the second. Live bids of others in the project are listed too.
    """
    session = invocation.session()
    now = session.provider.clock.now()
    start = parse_since(since, now=now, field="--since")
    people = people_of(session)
    lines = [
        evolve(line, owner=people[line.owner].name if line.owner in people else line.owner)
        for line in bill(session.ports, since=start)
    ]
    if task is not None:
        lines = [line for line in lines if line.name == task]
        if not lines:
            raise NotFound(
                f"nothing was paid for {task!r} since {start:%Y-%m-%d %H:%M}Z",
                hint="`flow cost` lists what was",
            )
    if invocation.json:
        invocation.out.document("cost", bill_json(lines, since=start, until=now))
        return
    simulated = session.provider.limits.simulated
    invocation.out.show(bill_table(lines, since=start, simulated=simulated))
    if task is not None:
        invocation.out.show(price_table(lines))
