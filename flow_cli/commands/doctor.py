"""`flow doctor`: what is wrong with this machine, the way to the provider, and what costs money unseen."""

from __future__ import annotations

import click

from flow_adapters.wiring import load_settings
from flow_cli.command import FlowCommand
from flow_cli.invocation import Invocation, pass_invocation
from flow_cli.show.findings import Found, findings_json, findings_table
from flow_core.errors import FlowError
from flow_core.services.doctor import Doctor, Health
from flow_core.services.ports import Ports


@click.command(cls=FlowCommand)
@pass_invocation
def doctor(invocation: Invocation) -> int:
    """Check all that Flow relies on, and say what to do about what is wrong.

    That is the way to the provider (DNS, TLS, the clock), the key, project, quota and SSH keys, this machine's state
    and watcher, and bids of yours that cost money though this machine doesn't know them. Nothing is changed. Each
    check has ten seconds. The exit code is 1 when one failed.
    """
    found: list[Found] = []
    for finding in _doctor(invocation).findings():
        found.append(Found(finding.check, finding.health.value, finding.says, finding.advice))
        if not invocation.json and invocation.verbosity:
            invocation.talk.say(f"{finding.check}: {finding.health.value}", "dim")
    failed = any(each.health == Health.FAIL.value for each in found)
    if invocation.json:
        invocation.out.document("doctor", {"well": not failed, "checks": findings_json(found)})
    else:
        invocation.out.show(findings_table(found))
    return int(failed)


def _doctor(invocation: Invocation) -> Doctor:
    ports: Ports | None = None
    trouble: FlowError | None = None
    ssh_key: str | None = None
    try:
        ssh_key = load_settings(environ=invocation.environ).text("ssh_key")
        ports = invocation.session().ports
    except FlowError as raised:
        trouble = raised
    return Doctor(invocation.machine(ssh_key), ports, trouble=trouble)
