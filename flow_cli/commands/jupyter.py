"""`flow jupyter`: JupyterLab on a node, in this machine's browser."""

from __future__ import annotations

from pathlib import Path

import click

from flow_cli.command import FlowCommand, yes_option
from flow_cli.completing import task_names
from flow_cli.invocation import Invocation, pass_invocation
from flow_cli.tunnelling import hold, tunnel_options
from flow_core.domain.allocation import Node
from flow_core.domain.notebook import link, server_link
from flow_core.errors import NotFound
from flow_core.services.notebooks import Notebooks
from flow_core.services.session import Session
from flow_core.services.tunnels import Opened


@click.command(cls=FlowCommand)
@click.argument("task", required=False, shell_complete=task_names)
@tunnel_options
@click.option(
    "--python",
    default="",
    metavar="PATH",
    help="The kernel's interpreter on the node.  [default: the command's own]",
)
@click.option("--no-open", is_flag=True, help="Print the link, and open no browser.")
@click.option("--stop", is_flag=True, help="End the server and its kernels instead.")
@yes_option("Without TASK, make this folder's box where there is none")
@pass_invocation
def jupyter(
    invocation: Invocation, task: str | None, rank: int, local_port: int | None, python: str, no_open: bool,
    stop: bool, yes: bool,
) -> int:  # fmt: skip
    """Open JupyterLab on TASK's node in this machine's browser; without TASK, on the dev box of this folder.

    A server is started, or the one that runs there found; it listens to the node's loopback only, and wants a token.
    The link is printed, and goes on working after a dropped connection or a preemption; what kernels hold in memory
    does not survive the latter. Ctrl-C closes the way to it: the server goes on until the task ends, or --stop.

    JupyterLab is installed into a folder of its own where the command's Python lacks it.

    \b
      flow jupyter
      flow jupyter box --local 8888 --no-open
      flow jupyter box --stop
    """
    session = invocation.session()
    if stop:
        return _stop(invocation, session, task or _box(session), rank)
    task = task or _box_awake(invocation, session, yes=yes)
    notebooks, served = Notebooks(session.ports), {"token": ""}

    def port(node: Node) -> int:
        found = notebooks.serve(node, token=served["token"], python=python)
        served["token"] = found.token
        return found.port

    def opened(event: Opened, is_first: bool) -> None:
        address = link(event.local_port, served["token"])
        if invocation.json:
            payload = {
                "task": task,
                "node": event.node.rank,
                "port": event.port,
                "local_port": event.local_port,
                "link": address,
                "server": server_link(event.local_port, served["token"]),
            }
            invocation.out.document("jupyter", payload)
        elif is_first:
            invocation.out.line(address)
        if not is_first:
            invocation.talk.say(f"✓ the link leads to {task} again", "green")
            return
        invocation.talk.say(
            f"✓ JupyterLab runs on {task}, node {event.node.rank}; the link opens it\n"
            f"  attach:     {server_link(event.local_port, '…')} with the same token, in an editor\n"
            f"  leave:      Ctrl-C; the server goes on, and `flow jupyter {task}` comes back\n"
            f"  end it:     flow jupyter {task} --stop",
            "green",
        )
        if not no_open and not invocation.json:
            _open(invocation, address)

    try:
        return hold(
            invocation,
            session,
            task,
            port,
            rank=rank,
            local_port=local_port,
            opening="Finding JupyterLab on the node, or starting it",
            opened=opened,
        )
    except KeyboardInterrupt:
        invocation.talk.say(f"\nthe server goes on; `flow jupyter {task}` comes back to it")
        return 130


def _box(session: Session) -> str:
    found = session.dev_box.find(Path.cwd())
    if found is None:
        raise NotFound("this folder has no dev box", hint="name a task: flow jupyter TASK --stop")
    return found.name


def _box_awake(invocation: Invocation, session: Session, *, yes: bool) -> str:
    """Return the name of this folder's box, made or resumed if need be."""
    from flow_cli.dev_calling import Wish, box_to_use, node_to_use

    folder = Path.cwd()
    wish = Wish(folder=folder, name=None, image="", given={}, variables={}, yes=yes)
    record = box_to_use(invocation, session, wish)
    node_to_use(invocation, session, record)
    return record.name


def _stop(invocation: Invocation, session: Session, task: str, rank: int) -> int:
    [node] = session.remote.nodes(task, ranks=[rank])
    ended = Notebooks(session.ports).stop(node)
    if invocation.json:
        invocation.out.document("jupyter-stop", {"task": task, "node": rank, "stopped": ended})
        return 0
    said = "the server and its kernels have ended" if ended else "no server runs there"
    invocation.talk.say(f"✓ {said}" if ended else said, "green" if ended else "")
    return 0


def _open(invocation: Invocation, address: str) -> None:
    from flow_adapters.browser import open_link
    from flow_adapters.places import cache_dir, made

    if not invocation.talk.is_terminal:
        return
    if not open_link(address, folder=made(cache_dir(invocation.environ))):
        invocation.talk.say("no browser opens from here; follow the link yourself")
