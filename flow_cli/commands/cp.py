"""`flow cp`: files to a task's nodes, and from them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from flow_cli import copying
from flow_cli.command import FlowCommand
from flow_cli.host_keys import trusted
from flow_cli.invocation import Invocation, pass_invocation
from flow_cli.ranks import node_option
from flow_cli.show.copies import copied_text
from flow_core.domain.allocation import Node
from flow_core.domain.copying import Copy, parse_copy
from flow_core.errors import Conflict, InvalidRequest, NodeUnreachable


@click.command(cls=FlowCommand)
@click.argument("words", metavar="SOURCE… TARGET", nargs=-1, required=True)
@click.option("-r", "--recursive", is_flag=True, help="Copy folders with all that is in them.")
@node_option(
    "These nodes: 0, or 0,3-5.  [default: all when copying there, the first when from there]"
)
@pass_invocation
def cp(
    invocation: Invocation, words: tuple[str, ...], recursive: bool, ranks: tuple[int, ...] | None
) -> None:
    """Copy files to a task's nodes, or from them; TASK:PATH is a path there.

    A PATH that doesn't begin with / is in the workspace. A target that is a folder gets the files under their own
    names, another one is the new name. From several nodes, each node's files go to a folder named by its rank. Modes,
    times and links in folders are kept. Each file is there whole or not at all.

    \b
      flow cp weights.pt train:/data/
      flow cp -r configs train:
      flow cp -r train:out/ .
      flow cp --node 0-3 'train:logs/*.txt' logs
    """
    copy = parse_copy(words, has_drives=sys.platform == "win32")
    if copy.is_upload:
        _check(copy, recursive=recursive)
    session = invocation.session()
    nodes = session.remote.nodes(copy.task, ranks=ranks)
    if not copy.is_upload and ranks is None:
        nodes = tuple(node for node in nodes if node.is_reachable)[:1]
    do = copying.send if copy.is_upload else copying.fetch
    outcome = do(invocation, session, nodes, copy, recursive=recursive)
    again = trusted(invocation, session, _lost(nodes, outcome.lost), agreed=False)
    if again:
        second = do(invocation, session, again, copy, recursive=recursive)
        outcome.files |= second.files
        outcome.bytes |= second.bytes
        outcome.troubles |= second.troubles
        outcome.lost = {
            rank: reason for rank, reason in outcome.lost.items() if rank not in second.bytes
        } | second.lost
    _tell(invocation, copy, nodes, outcome)


def _lost(nodes: Sequence[Node], lost: dict[int, str]) -> list[Node]:
    return [node for node in nodes if node.rank in lost]


def _check(copy: Copy, *, recursive: bool) -> None:
    """Refuse what can't be sent before anything is."""
    problems = []
    for source in copy.sources:
        path = Path(source)
        if not path.exists():
            problems.append(f"{source} is not there")
        elif path.is_dir() and not recursive:
            problems.append(f"{source} is a folder; -r copies those")
    if problems:
        raise InvalidRequest({"source": "; ".join(problems)})


def _tell(
    invocation: Invocation, copy: Copy, nodes: Sequence[Node], outcome: copying.Outcome
) -> None:
    well = [
        node.rank
        for node in nodes
        if node.rank not in outcome.lost and node.rank not in outcome.troubles
    ]
    if invocation.json:
        payload = {
            "task": copy.task,
            "direction": "to" if copy.is_upload else "from",
            "nodes": {
                node.rank: {
                    "files": outcome.files.get(node.rank, 0),
                    "bytes": outcome.bytes.get(node.rank, 0),
                    "lost": outcome.lost.get(node.rank),
                    "troubles": outcome.troubles.get(node.rank, []),
                }
                for node in nodes
            },
        }
        invocation.out.document("cp", payload)
    elif well:
        files = sum(outcome.files[rank] for rank in well)
        count = sum(outcome.bytes[rank] for rank in well)
        share = len(well) if copy.is_upload else 1
        text = copied_text(files // share, count // share, well, is_upload=copy.is_upload)
        invocation.talk.say(text, "green")
    lines = [f"node {rank} was lost: {reason}" for rank, reason in sorted(outcome.lost.items())]
    lines += [
        f"node {rank}: {words}"
        for rank, troubles in sorted(outcome.troubles.items())
        for words in troubles
    ]
    if outcome.lost:
        raise NodeUnreachable(
            "\n".join(lines), hint="what has been copied is whole; repeat for the rest"
        )
    if lines:
        raise Conflict("\n".join(["not everything was copied", *lines]))
