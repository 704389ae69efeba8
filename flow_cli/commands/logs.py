"""`flow logs`: what a task's nodes wrote."""

from __future__ import annotations

from contextlib import suppress

import click

from flow_cli.command import FlowCommand
from flow_cli.completing import task_names
from flow_cli.invocation import Invocation, pass_invocation
from flow_cli.log_lines import Sieve, only, pattern_of, sink_for
from flow_cli.ranks import node_option
from flow_core.domain.moment import parse_since
from flow_core.domain.run import Stream
from flow_core.errors import Transient


@click.command(cls=FlowCommand)
@click.argument("task", shell_complete=task_names)
@click.option(
    "-f",
    "--follow",
    is_flag=True,
    help="Go on until the command has ended. Ctrl-C leaves the task running.",
)
@node_option("Only these nodes: 0, or 0,3-5. One node's bytes come as they are.")
@click.option(
    "--tail",
    type=click.IntRange(min=0),
    metavar="N",
    help="Begin with the last N lines of each node.",
)
@click.option(
    "--since",
    metavar="WHEN",
    help="Only what was written since: a time such as 2026-11-25T09:00Z, or how long ago, such as 10m.",
)
@click.option("--grep", metavar="REGEX", help="Only lines that this is found in.")
@click.option(
    "--stdout", "streams", flag_value="out", help="Only what the command wrote to stdout."
)
@click.option("--stderr", "streams", flag_value="err", help="Only what it wrote to stderr.")
@pass_invocation
def logs(
    invocation: Invocation,
    task: str,
    follow: bool,
    ranks: tuple[int, ...] | None,
    tail: int | None,
    since: str | None,
    grep: str | None,
    streams: str | None,
) -> int:
    """Print TASK's log to stdout, byte for byte as its command wrote it.

    With several nodes each line begins with its node's rank, as in `[3] …`, unless --node picks one. What Flow's own
    script on the node has to say goes to stderr.
    """
    session = invocation.session()
    record = session.tasks.record(task)
    wanted = (Stream(streams),) if streams is not None else ()
    now = session.provider.clock.now()
    earliest = parse_since(since, now=now, field="--since") if since is not None else None
    count = len(ranks) if ranks is not None else record.spec.num_instances
    sink = sink_for(
        invocation.out,
        invocation.talk,
        json=invocation.json,
        nodes=count,
        colour=not invocation.no_color,
    )
    if grep is not None:
        sink = Sieve(sink, pattern_of(grep))

    def say_why() -> None:
        with suppress(Transient):  # whoever follows waits for what doesn't answer
            reason = session.tasks.waits_for(session.tasks.view(record.token))
            if reason is not None:
                invocation.talk.say(reason.text(session.provider.clock.now()), "dim")

    try:
        for chunk in session.tasks.logs(
            record.token, ranks=ranks, follow=follow, tail=tail, when_quiet=say_why
        ):
            for piece in chunk.pieces:
                if only(piece, wanted) and (earliest is None or piece.at >= earliest):
                    sink.take(chunk.rank, piece)
    except KeyboardInterrupt:
        sink.end()
        invocation.talk.say(f"\n{record.name} is left as it is. End it: flow cancel {record.name}")
        return 130
    sink.end()
    return 0
