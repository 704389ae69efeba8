"""What is asked of the kit on a dev box, and what its answers come to."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import closing

from attrs import evolve

from flow_core.domain.allocation import Node
from flow_core.domain.box import BEGUN, NOT_READY, same_line
from flow_core.domain.run import Stream
from flow_core.errors import Conflict, NodeUnreachable
from flow_core.ports.shell import Call, Events, NodeExit, NodeLost, NodeOutput, RemoteShell

#: Real seconds that a box may take to answer what it is asked besides running something.
ANSWER_S = 120.0


def has_code(shell: RemoteShell, node: Node, digest: str) -> bool:
    """Whether the box has noted that it has this code.

    Raises:
        NodeUnreachable: it gives no answer.
    """
    call = Call(node=node, line=same_line(digest), lone=True)
    for event in shell.run_many([call], timeout_s=ANSWER_S):
        if isinstance(event, NodeLost):
            raise NodeUnreachable(f"the box gave no answer: {event.reason}")
        if isinstance(event, NodeExit):
            return event.code == 0
    return False


def asked(
    shell: RemoteShell, node: Node, line: str, *, stdin: bytes = b"", timeout_s: float = ANSWER_S
) -> bytes:
    """Return what the kit on the box answers.

    Raises:
        NodeUnreachable: it doesn't answer, or has no kit yet.
        Conflict: it refuses; the message is its own.
    """
    call = Call(node=node, line=line, stdin=stdin)
    out, err, code = b"", b"", 0
    with closing(shell.run_many([call], timeout_s=timeout_s)) as events:
        for event in events:
            if isinstance(event, NodeLost):
                raise NodeUnreachable(f"the box gave no answer: {event.reason}")
            if isinstance(event, NodeExit):
                code = event.code
            elif isinstance(event, NodeOutput) and event.stream is Stream.OUT:
                out += event.data
            elif isinstance(event, NodeOutput):
                err += event.data
    if code == NOT_READY:
        raise NodeUnreachable("the box still starts", hint="try again in a moment")
    if code:
        words = err.decode("utf-8", "replace").strip().splitlines()
        said = words[-1].removeprefix("flow: ") if words else f"it ended with {code}"
        raise Conflict(said)
    return out


def begun(events: Events) -> Events | None:
    """Return the events of a line once it has begun, without the word that says so; None where it never does.

    Raises:
        NodeUnreachable: the box gave no answer.
    """
    held: list[NodeOutput] = []
    said = b""
    for event in events:
        if isinstance(event, NodeLost):
            raise NodeUnreachable(f"the box gave no answer: {event.reason}")
        if isinstance(event, NodeExit):
            break
        if event.stream is not Stream.ERR:
            held.append(event)
            continue
        said += event.data
        before, word, after = said.partition(BEGUN)
        if word:
            rest = before + after
            return _continued([*held, *([evolve(event, data=rest)] if rest else [])], events)
    events.close()
    return None


def _continued(first: Iterable[NodeOutput], events: Events) -> Events:
    with closing(events):
        yield from first
        yield from events


def mapping_of(said: bytes) -> Mapping[str, object]:
    """Return what an answer says in its last line.

    Raises:
        NodeUnreachable: it says nothing of the kind.
    """
    lines = said.decode("utf-8", "replace").strip().splitlines()
    try:
        found = json.loads(lines[-1]) if lines else None
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise NodeUnreachable("the box said nothing that can be understood")
    return found
