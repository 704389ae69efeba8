"""`flow ssh-config`: have ssh, scp, rsync and editors find nodes by their task's name."""

from __future__ import annotations

import click

from flow_adapters.places import shown, state_dir
from flow_adapters.ssh_hosts import FolderSshHosts, hosts_of
from flow_cli.command import FlowCommand
from flow_cli.invocation import Invocation, pass_invocation
from flow_core.domain.ssh_hosts import SshHost, rendered
from flow_core.errors import FlowError, InvalidRequest
from flow_core.services.ssh_hosts import live_hosts


@click.command("ssh-config", cls=FlowCommand)
@click.option("--write", is_flag=True, help="Add the line to ~/.ssh/config without asking.")
@click.option("--print", "prints", is_flag=True, help="Print the entries, and write nothing.")
@click.option("--remove", is_flag=True, help="Take the line and the entries away again.")
@pass_invocation
def ssh_config(invocation: Invocation, write: bool, prints: bool, remove: bool) -> None:
    """Have `ssh TASK` work, and scp, rsync and editors' remote windows with it.

    TASK is its first node, TASK-1 the one of rank 1. Your ~/.ssh/config gets one line at its top, which includes a
    file of Flow's own; the watcher keeps that file true while tasks live. Host keys are those that Flow pinned.

    \b
      flow ssh-config
      ssh train
      rsync -a train:/workspace/out/ out/
    """
    if write + prints + remove > 1:
        raise click.UsageError("--write, --print and --remove are three different wishes")
    files = hosts_of(state_dir(invocation.environ), invocation.environ)
    if remove:
        _remove(invocation, files)
        return
    session = invocation.session()
    hosts, unmet = live_hosts(session.ports)
    for name, reason in unmet.items():
        invocation.talk.say(
            f"{name} has no host key yet, so ssh will refuse it: {reason}", "yellow"
        )
    if prints:
        if invocation.json:
            _document(invocation, files, hosts)
        else:
            invocation.out.data(rendered(hosts).encode())
        return
    is_new = not files.is_included()
    if is_new and not write:
        _ask(invocation, files)
    files.write(session.provider.name, rendered(hosts))
    files.include()
    if invocation.json:
        _document(invocation, files, hosts)
        return
    if is_new:
        place = shown(files.config, invocation.environ)
        invocation.talk.say(f"✓ {place} begins with {files.line}", "green")
    for host in hosts:
        invocation.out.line(f"{host.names[0]}  {host.place}")
    if not hosts:
        invocation.talk.say("No task has nodes now; they are added as they come.")


def _ask(invocation: Invocation, files: FolderSshHosts) -> None:
    place = shown(files.config, invocation.environ)
    if not invocation.talk.can_ask:
        raise InvalidRequest(
            {"write": f"{place} is not changed unasked, and there is no terminal to ask on"},
            hint=f"--write adds `{files.line}` as its first line; --print only shows the entries",
        )
    question = (
        f"Add this as the first line of {place}, and keep the rest as it is?\n  {files.line}\n"
    )
    if not invocation.talk.ask(question, unasked=""):
        raise FlowError("not confirmed; nothing was written", hint="--print shows the entries")


def _remove(invocation: Invocation, files: FolderSshHosts) -> None:
    was_there = files.remove()
    if invocation.json:
        _document(invocation, files, [])
    elif was_there:
        invocation.talk.say("✓ ssh knows Flow's nodes no more", "green")
    else:
        invocation.talk.say("There was nothing to take away.")


def _document(invocation: Invocation, files: FolderSshHosts, hosts: list[SshHost]) -> None:
    invocation.out.document(
        "ssh-config",
        {
            "config": str(files.config),
            "line": files.line,
            "included": files.is_included(),
            "hosts": [
                {
                    "host": name,
                    "task": host.task,
                    "rank": host.rank,
                    "settings": {key: list(values) for key, values in host.settings.items()},
                }
                for host in hosts
                for name in host.names
            ],
        },
    )
