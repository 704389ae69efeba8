"""`flow ssh`: a shell on one node, or a command on all of them at once."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import closing
from datetime import datetime

import click

from flow_cli import exit_codes
from flow_cli.command import FlowCommand
from flow_cli.completing import task_names
from flow_cli.host_keys import trusted
from flow_cli.invocation import Invocation, pass_invocation
from flow_cli.log_lines import Sink, sink_for
from flow_cli.ranks import node_option, ranks_of
from flow_cli.show.errors import error_json
from flow_cli.show.exits import exit_table, worst_code
from flow_core.domain.allocation import Node
from flow_core.domain.run import LogPiece
from flow_core.errors import NodeUnreachable
from flow_core.ports.shell import NodeExit, NodeLost, NodeOutput
from flow_core.services.session import Session

Given = Callable[[Node], "bytes | Iterable[bytes]"]


@click.command(cls=FlowCommand, passes_on=lambda words: True, takes_words=True)
@click.argument("task", shell_complete=task_names)
@click.argument("words", metavar="[-- COMMAND…]", nargs=-1, type=click.UNPROCESSED)
@node_option("Only these nodes: 0, or 0,3-5.")
@click.option("--fold", is_flag=True, help="Write what several nodes wrote alike once, at the end.")
@click.option(
    "--stdin", "sends_stdin", is_flag=True, help="Send this command's standard input to every node."
)
@click.option(
    "--stdin-node", "stdin_to", metavar="RANKS", callback=ranks_of, help="Send it to these alone."
)
@click.option(
    "-t", "--tty", is_flag=True, help="Give COMMAND this terminal; it then runs on one node."
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="End COMMAND where it takes longer.",
)
@click.option(
    "--trust", is_flag=True, help="Accept a host key that has changed, after showing both."
)
@pass_invocation
def ssh(
    invocation: Invocation,
    task: str,
    words: tuple[str, ...],
    ranks: tuple[int, ...] | None,
    fold: bool,
    sends_stdin: bool,
    stdin_to: tuple[int, ...] | None,
    tty: bool,
    timeout: float | None,
    trust: bool,
) -> int:
    """Open a shell on TASK's first node, or run COMMAND on all its nodes at once.

    With several nodes each line begins with its node's rank, and a table of exit codes follows. The exit code is the
    highest of all; Flow's own failures, a lost node among them, count as 125.

    \b
      flow ssh train
      flow ssh train -- nvidia-smi
      flow ssh train --fold -- nvidia-smi -L
      flow ssh train --node 0,2-3 -- 'df -h | tail -1'
      flow ssh train -t -- htop
    """
    session = invocation.session()
    nodes = session.remote.nodes(task, ranks=ranks)
    line = None if not words else words[0] if len(words) == 1 else shlex.join(words)
    if line is None or tty:
        return _attach(invocation, session, nodes, line, trust=trust)
    fanning = _Fanning(invocation, session, line, count=len(nodes), fold=fold, timeout_s=timeout)
    given = _input(invocation, nodes, nodes if sends_stdin else _of(nodes, stdin_to))
    fanning.run(nodes, given)
    again = trusted(invocation, session, fanning.lost_nodes(nodes), agreed=trust)
    if again and not (sends_stdin or stdin_to):
        fanning.run(again, given)
    return fanning.end()


def _attach(
    invocation: Invocation,
    session: Session,
    nodes: Sequence[Node],
    line: str | None,
    *,
    trust: bool,
) -> int:
    if invocation.json:
        raise click.UsageError(
            "a terminal has no JSON; give a command after `--`", ctx=click.get_current_context()
        )
    node = next(node for node in nodes if node.is_reachable)
    try:
        return session.remote.attach(node, line)
    except NodeUnreachable:
        if not trusted(invocation, session, [node], agreed=trust):
            raise
    return session.remote.attach(node, line)


class _Fanning:
    """One command on many nodes: what they write as they write it, and how it ended on each."""

    def __init__(
        self,
        invocation: Invocation,
        session: Session,
        line: str,
        *,
        count: int,
        fold: bool,
        timeout_s: float | None,
    ) -> None:
        self._invocation = invocation
        self._session = session
        self._line = line
        self._count = count
        self._timeout_s = timeout_s
        self._codes: dict[int, int] = {}
        self._lost: dict[int, str] = {}
        self._sink = _sink(invocation, count=count, fold=fold)

    def run(self, nodes: Sequence[Node], given: Given) -> None:
        """Run it on these nodes; Ctrl-C ends it on all of them."""
        now = self._session.ports.clock.now
        events = self._session.remote.run(nodes, self._line, stdin=given, timeout_s=self._timeout_s)
        with closing(events):
            try:
                for event in events:
                    rank = event.node.rank
                    if isinstance(event, NodeOutput):
                        _take(self._sink, event, now())
                    elif isinstance(event, NodeExit):
                        self._lost.pop(rank, None)
                        self._codes[rank] = event.code
                    else:
                        self._lost[rank] = event.reason
                        _say_lost(self._invocation, event)
            except KeyboardInterrupt:
                self._sink.end()
                raise

    def lost_nodes(self, nodes: Sequence[Node]) -> list[Node]:
        """Return those of `nodes` that gave no answer."""
        return [node for node in nodes if node.rank in self._lost]

    def end(self) -> int:
        """Write what is still held back, and the table; return the exit code."""
        self._sink.end()
        code = worst_code(self._codes, self._lost, lost_as=exit_codes.OWN_FAILURE)
        if self._invocation.json:
            self._invocation.out.document(
                "ssh", {"exit_codes": self._codes, "lost": self._lost, "exit_code": code}
            )
        elif self._count > 1 or code:
            self._invocation.talk.show(exit_table(self._codes, self._lost))
        return code


def _sink(invocation: Invocation, *, count: int, fold: bool) -> Sink:
    colour = not invocation.no_color
    if fold:
        from flow_cli.folding import FoldedSink

        return FoldedSink(invocation.out, invocation.talk, json=invocation.json, colour=colour)
    return sink_for(
        invocation.out,
        invocation.talk,
        json=invocation.json,
        nodes=count,
        split=True,
        colour=colour,
    )


def _input(invocation: Invocation, nodes: Sequence[Node], to: Collection[Node]) -> Given:
    if not to:
        return lambda node: b""
    from flow_adapters.places import cache_dir, made
    from flow_cli.inputs import SharedInput, standard_input

    shared = SharedInput(
        standard_input(), readers=len(to), folder=made(cache_dir(invocation.environ))
    )
    chosen = {node.id for node in to}
    return lambda node: shared.pieces() if node.id in chosen else b""


def _of(nodes: Sequence[Node], ranks: Collection[int] | None) -> list[Node]:
    missing = set(ranks or ()) - {node.rank for node in nodes}
    if missing:
        raise click.BadParameter(
            f"the command doesn't run on node {min(missing)}", param_hint="'--stdin-node'"
        )
    return [node for node in nodes if node.rank in (ranks or ())]


def _take(sink: Sink, event: NodeOutput, now: datetime) -> None:
    sink.take(event.node.rank, LogPiece(event.stream, now, event.data))


def _say_lost(invocation: Invocation, event: NodeLost) -> None:
    message = f"node {event.node.rank} was lost: {event.reason}"
    invocation.talk.say(f"error: {message} [{NodeUnreachable.kind}]", "bold red")
    if invocation.json:
        invocation.out.document(
            "error", error_json(NodeUnreachable.kind, message, exit_code=exit_codes.OWN_FAILURE)
        )
