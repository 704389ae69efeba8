"""A host key that has changed: shown with the one before, and asked about; accepted silently never."""

from __future__ import annotations

from collections.abc import Sequence

from flow_cli.invocation import Invocation
from flow_core.domain.allocation import Node
from flow_core.services.session import Session


def trusted(
    invocation: Invocation, session: Session, nodes: Sequence[Node], *, agreed: bool
) -> list[Node]:
    """Return those of `nodes` whose changed host key the user accepts, `agreed` beforehand or when asked.

    Nodes that were lost for another reason are left out. Without a terminal to ask on, nothing is accepted.
    """
    ssh = session.provider.ssh
    if ssh is None:
        return []
    found = []
    for node in nodes:
        change = ssh.change(node)
        if change is None:
            continue
        invocation.talk.say(
            f"Node {node.rank} showed another host key than before: {change.pinned} was pinned, "
            f"and now it is {change.shown}. A node that was rebuilt does so; so does somebody in between.",
            "bold yellow",
        )
        if not agreed and not (
            invocation.talk.can_ask
            and invocation.talk.ask("Trust the new key from now on?", unasked="")
        ):
            continue
        ssh.trust(node, change)
        found.append(node)
    return found
