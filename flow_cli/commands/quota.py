"""`flow quota`: how much of what the project may hold."""

from __future__ import annotations

import click

from flow_cli.command import FlowCommand
from flow_cli.invocation import Invocation, pass_invocation
from flow_cli.show.accounts import quota_json, quota_table
from flow_core.services.accounts import Accounts


@click.command(cls=FlowCommand)
@pass_invocation
def quota(invocation: Invocation) -> None:
    """List how much of what the project may hold, and how much it does."""
    quotas = Accounts(invocation.session().provider).quotas()
    if invocation.json:
        invocation.out.document("quota-list", {"quotas": quota_json(quotas)})
    else:
        invocation.out.show(quota_table(quotas))
