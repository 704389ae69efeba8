"""`flow project`: the parts of an account, and which one tasks belong to."""

from __future__ import annotations

import click

from flow_adapters.config_files import set_setting
from flow_adapters.places import shown as shown_path
from flow_adapters.places import user_settings
from flow_adapters.wiring import load_settings
from flow_cli.command import FlowSubgroup
from flow_cli.invocation import Invocation, pass_invocation
from flow_cli.show.accounts import project_json, project_table
from flow_core.services.accounts import Accounts


@click.group(cls=FlowSubgroup)
def project() -> None:
    """List the projects that your key may use, or choose the one that tasks belong to."""


@project.command("list")
@pass_invocation
def list_(invocation: Invocation) -> None:
    """List projects, the one in use marked."""
    there, current = Accounts(invocation.session().provider).projects()
    if invocation.json:
        invocation.out.document("project-list", {"projects": project_json(there, current)})
    else:
        invocation.out.show(project_table(there, current))


@project.command()
@click.argument("name")
@pass_invocation
def use(invocation: Invocation, name: str) -> None:
    """Have tasks belong to the project NAME, a name or an id, from now on."""
    accounts = Accounts(invocation.session().provider)
    chosen = accounts.project(name)
    path = user_settings(invocation.environ)
    set_setting(path, "project", name)
    if invocation.json:
        invocation.out.document("project-list", {"projects": project_json([chosen], chosen)})
        return
    file = shown_path(path, invocation.environ)
    invocation.talk.say(
        f"✓ tasks belong to {chosen.name} ({chosen.id}) from now on ({file})", "green"
    )
    origin = load_settings(environ=invocation.environ).origin("project")
    if not origin.startswith(file):
        invocation.talk.say(f"warning: {origin} outranks it", "yellow")
