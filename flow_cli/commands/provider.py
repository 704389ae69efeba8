"""`flow provider`: the clouds that can be asked."""

from __future__ import annotations

import click

from flow_adapters.discovery import PROVIDERS, Plugin, plugins
from flow_adapters.wiring import load_settings
from flow_cli.command import FlowSubgroup
from flow_cli.invocation import Invocation, pass_invocation
from flow_cli.show.providers import ROLES, Offer, provider_json, provider_table
from flow_core.errors import FlowError


@click.group(cls=FlowSubgroup)
def provider() -> None:
    """List the clouds that can be asked, and what each offers."""


@provider.command("list")
@pass_invocation
def list_(invocation: Invocation) -> None:
    """List providers by their plug-ins, with the roles each plays; a broken one says what is wrong."""
    chosen = load_settings(provider=invocation.provider, environ=invocation.environ).text(
        "provider"
    )
    offers = [
        _offer(invocation, found, chosen=name == chosen)
        for name, found in plugins(PROVIDERS).items()
    ]
    if invocation.json:
        invocation.out.document("provider-list", {"providers": provider_json(offers)})
    else:
        invocation.out.show(provider_table(offers))


def _offer(invocation: Invocation, found: Plugin, *, chosen: bool) -> Offer:
    offer = Offer(found.name, brought_by=found.distribution, chosen=chosen)
    try:
        cloud = invocation.session_with(found.name).provider
    except FlowError as trouble:
        return offer._replace(problem=trouble.message)
    roles = tuple(role for role in ROLES if getattr(cloud, role) is not None)
    return offer._replace(roles=roles, simulated=cloud.limits.simulated)
