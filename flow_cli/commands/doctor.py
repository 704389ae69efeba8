"""`flow doctor`: what is wrong with this machine, the way to the provider, and what costs money unseen."""

from __future__ import annotations

import click
from attrs import evolve

from flow_adapters.wiring import load_settings
from flow_cli.command import FlowCommand, yes_option
from flow_cli.invocation import Invocation, pass_invocation
from flow_cli.show.findings import Found, findings_json, findings_table
from flow_core.errors import FlowError
from flow_core.services.doctor import Doctor, Health
from flow_core.services.leftovers import find_left, remove_left
from flow_core.services.ports import Ports


@click.command(cls=FlowCommand)
@click.option(
    "--remove",
    is_flag=True,
    help="Then end bids of yours that this machine doesn't know, and remove what no bid needs.",
)
@click.option("--caches", is_flag=True, help="With --remove: caches that nothing uses now, too.")
@yes_option("Remove")
@pass_invocation
def doctor(invocation: Invocation, remove: bool, caches: bool, yes: bool) -> int:
    """Check all that Flow relies on, and say what to do about what is wrong.

    That is the way to the provider (DNS, TLS, the clock), the key, project, quota and SSH keys, this machine's state
    and watcher, and bids of yours that cost money though this machine doesn't know them. Without --remove nothing is
    changed. Each check has ten seconds. The exit code is 1 when one failed.
    """
    if caches and not remove:
        raise click.UsageError("--caches goes with --remove")
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
    if remove:
        _remove(invocation, caches=caches, yes=yes)
    return int(failed)


def _remove(invocation: Invocation, *, caches: bool, yes: bool) -> None:
    ports = invocation.session().ports
    left = find_left(ports)
    if not caches:
        left = evolve(left, caches=())
    named = [f"bid {each.name} ({each.bid.id}), its nodes and disks" for each in left.strays]
    named += [each.what for each in (*left.things, *left.caches)]
    if not named:
        invocation.talk.say("nothing is left to remove")
        return
    words = "; ".join(named)
    unasked = f"{words}: can't be removed unasked, and there is no terminal to ask on"
    if not yes and not invocation.talk.ask(f"Remove {words}?", unasked=unasked):
        raise FlowError("not confirmed; nothing was removed")
    remove_left(ports, left)
    for each in named:
        invocation.talk.say(f"✓ removed {each}", "green")


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
