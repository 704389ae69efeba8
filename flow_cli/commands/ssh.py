"""`flow ssh`: a shell on one node, or a command on all of them at once."""

from __future__ import annotations

import shlex
import sys
from datetime import datetime

import click

from flow_cli import exit_codes
from flow_cli.command import FlowCommand
from flow_cli.completing import task_names
from flow_cli.invocation import Invocation, pass_invocation
from flow_cli.log_lines import Sink, sink_for
from flow_cli.ranks import node_option
from flow_cli.show.errors import error_json
from flow_core.domain.allocation import Node
from flow_core.domain.run import LogPiece
from flow_core.errors import NodeUnreachable
from flow_core.ports.shell import NodeExit, NodeLost, NodeOutput
from flow_core.services.session import Session


@click.command(cls=FlowCommand, passes_on=lambda words: True, takes_words=True)
@click.argument("task", shell_complete=task_names)
@click.argument("words", metavar="[-- COMMAND…]", nargs=-1, type=click.UNPROCESSED)
@node_option("Only these nodes: 0, or 0,3-5.")
@click.option(
    "--stdin", "sends_stdin", is_flag=True, help="Send this command's standard input to every node."
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="End COMMAND where it takes longer.",
)
@pass_invocation
def ssh(
    invocation: Invocation,
    task: str,
    words: tuple[str, ...],
    ranks: tuple[int, ...] | None,
    sends_stdin: bool,
    timeout: float | None,
) -> int:
    """Open a shell on TASK's first node, or run COMMAND on all its nodes at once.

    With several nodes each line begins with its node's rank. The exit code is that of the first node that failed;
    Flow's own failures, a lost node among them, are 125.

    \b
      flow ssh train
      flow ssh train -- nvidia-smi
      flow ssh train --node 0,2-3 -- 'df -h | tail -1'
    """
    session = invocation.session()
    nodes = session.remote.nodes(task, ranks=ranks)
    if not words:
        if invocation.json:
            raise click.UsageError(
                "a shell has no JSON; give a command after `--`", ctx=click.get_current_context()
            )
        return session.remote.attach(nodes[0])
    line = words[0] if len(words) == 1 else shlex.join(words)
    stdin = sys.stdin.buffer.read() if sends_stdin else b""
    return _run(invocation, session, nodes, line, stdin=stdin, timeout_s=timeout)


def _run(
    invocation: Invocation,
    session: Session,
    nodes: tuple[Node, ...],
    line: str,
    *,
    stdin: bytes,
    timeout_s: float | None,
) -> int:
    sink = sink_for(
        invocation.out,
        invocation.talk,
        json=invocation.json,
        nodes=len(nodes),
        split=True,
        colour=not invocation.no_color,
    )
    codes: dict[int, int] = {}
    lost: dict[int, str] = {}
    first_failure = 0
    for event in session.remote.run(nodes, line, stdin=lambda node: stdin, timeout_s=timeout_s):
        if isinstance(event, NodeOutput):
            _take(sink, event, session.ports.clock.now())
        elif isinstance(event, NodeExit):
            codes[event.node.rank] = event.code
            first_failure = first_failure or event.code
        else:
            lost[event.node.rank] = event.reason
            first_failure = first_failure or exit_codes.OWN_FAILURE
            _say_lost(invocation, event)
    sink.end()
    if invocation.json:
        invocation.out.document(
            "ssh", {"exit_codes": codes, "lost": lost, "exit_code": first_failure}
        )
    elif len(nodes) > 1 and first_failure:
        failed = ", ".join(
            f"node {rank} ended with {code}" for rank, code in sorted(codes.items()) if code
        )
        if failed:
            invocation.talk.say(failed, "yellow")
    return first_failure


def _take(sink: Sink, event: NodeOutput, now: datetime) -> None:
    sink.take(event.node.rank, LogPiece(event.stream, now, event.data))


def _say_lost(invocation: Invocation, event: NodeLost) -> None:
    message = f"node {event.node.rank} was lost: {event.reason}"
    invocation.talk.say(f"error: {message} [{NodeUnreachable.kind}]", "bold red")
    if invocation.json:
        invocation.out.document(
            "error", error_json(NodeUnreachable.kind, message, exit_code=exit_codes.OWN_FAILURE)
        )
