"""Holding a tunnel in the foreground: what becomes of it is told as it happens, until Ctrl-C or the task's end."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from itertools import chain
from typing import Any, TypeVar

import click

from flow_cli.host_keys import trusted
from flow_cli.invocation import Invocation
from flow_core.services.session import Session
from flow_core.services.tunnels import Away, Opened, Tunnels, Wanted

PORT = click.IntRange(1, 65535)
_F = TypeVar("_F", bound=Callable[..., Any])


def tunnel_options(command: _F) -> _F:
    """Add the options of every command that holds a tunnel."""
    local = click.option(
        "--local",
        "local_port",
        type=PORT,
        metavar="PORT",
        help="The port of this machine.  [default: a free one]",
    )
    rank = click.option(
        "--node", "rank", type=click.IntRange(0), default=0, metavar="RANK", help="Which node.  [default: 0]"
    )  # fmt: skip
    return local(rank(command))


def hold(
    invocation: Invocation,
    session: Session,
    task: str,
    wanted: Wanted,
    *,
    rank: int,
    local_port: int | None,
    opening: str,
    opened: Callable[[Opened, bool], None],
) -> int:
    """Hold a tunnel until the task's end; `opened` is called each time it opens, and told whether first.

    `opening` is said until something is known. Ctrl-C closes the tunnel and goes on to the caller.
    """
    record, is_first = session.tasks.record(task), True
    tunnel = Tunnels(session.ports).hold(
        record.token, wanted, rank=rank, local_port=local_port or 0
    )
    with closing(tunnel):
        with invocation.talk.waiting() as wait:
            wait.tell(opening)
            first = next(tunnel, None)
        for event in chain([first] if first is not None else [], tunnel):
            if isinstance(event, Opened):
                opened(event, is_first)
                is_first = False
            else:
                _tell_away(invocation, session, record.name, event)
    invocation.talk.say(f"{record.name} has ended, and the way to its ports with it")
    return 0


def _tell_away(invocation: Invocation, session: Session, task: str, event: Away) -> None:
    if event.node is not None:
        trusted(invocation, session, [event.node], agreed=False)
    invocation.talk.say(f"{event.reason}; looking again", "yellow")
    if invocation.json:
        invocation.out.document("port-away", {"task": task, "reason": event.reason})
