"""`flow port`: a port of this machine that leads to one on a node."""

from __future__ import annotations

import click

from flow_cli.command import FlowCommand
from flow_cli.completing import task_names
from flow_cli.invocation import Invocation, pass_invocation
from flow_cli.tunnelling import PORT, hold, tunnel_options
from flow_core.services.tunnels import Opened


@click.command(cls=FlowCommand)
@click.argument("task", shell_complete=task_names)
@click.argument("port", type=PORT)
@tunnel_options
@pass_invocation
def port(invocation: Invocation, task: str, port: int, rank: int, local_port: int | None) -> int:
    """Have a port of this machine lead to PORT on TASK's node, until Ctrl-C or the task's end.

    What listens on the node's loopback is reached too. Only this machine can connect. After a dropped connection or a
    preemption the same local port leads to the node again.

    \b
      flow port train 6006
      flow port box 8888 --local 9000
    """

    def opened(event: Opened, is_first: bool) -> None:
        where = f"127.0.0.1:{event.local_port}"
        if invocation.json:
            payload = {
                "task": task,
                "node": event.node.rank,
                "port": event.port,
                "local_port": event.local_port,
            }
            invocation.out.document("port", payload)
        elif is_first:
            invocation.out.line(where)
        leads = "leads to" if is_first else "leads again to"
        invocation.talk.say(
            f"✓ {where} {leads} port {event.port} of {task}, node {event.node.rank}"
            + ("; Ctrl-C closes it" if is_first else ""),
            "green",
        )

    session = invocation.session()
    try:
        return hold(
            invocation,
            session,
            task,
            port,
            rank=rank,
            local_port=local_port,
            opening=f"Opening the way to {task}",
            opened=opened,
        )
    except KeyboardInterrupt:
        return 130
