"""One copy between this machine and nodes, over calls to them: nothing else of a provider is needed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

from attrs import define, field

from flow_adapters.copying.lines import receiving_line, sending_line
from flow_adapters.copying.stream import Receiving, Refused, Sending
from flow_cli.invocation import Invocation
from flow_cli.show.copies import progress_text
from flow_core.domain.allocation import Node
from flow_core.domain.copying import Copy
from flow_core.domain.run import Stream
from flow_core.ports.shell import NodeEvent, NodeExit, NodeLost, NodeOutput
from flow_core.services.session import Session

_TICK_S = 0.2
_MOST_WORDS = 64 << 10


@define
class Outcome:
    """What became of a copy: whole files and bytes by rank, nodes that were lost, and what didn't come by rank."""

    files: dict[int, int] = field(factory=dict)
    bytes: dict[int, int] = field(factory=dict)
    lost: dict[int, str] = field(factory=dict)
    troubles: dict[int, list[str]] = field(factory=dict)

    def trouble(self, rank: int, words: Sequence[str]) -> None:
        """Note what a node could not be given, or didn't give."""
        self.troubles.setdefault(rank, []).extend(words)


def send(
    invocation: Invocation, session: Session, nodes: Sequence[Node], copy: Copy, *, recursive: bool
) -> Outcome:
    """Copy files of this machine to each of `nodes`, all at once, each at its own pace."""
    sendings = {node.id: Sending(list(copy.sources), recursive) for node in nodes}
    total = next(iter(sendings.values())).weight() * len(nodes)
    line = receiving_line(copy.target, into=copy.lands_in)
    outcome, words = Outcome(), dict[int, bytes]()
    events = session.remote.run(nodes, line, stdin=lambda node: sendings[node.id])

    def told() -> str:
        return progress_text(sum(each.bytes for each in sendings.values()), total)

    with _progress(invocation, told), closing(events):
        for event in events:
            rank = event.node.rank
            if isinstance(event, NodeOutput):
                words[rank] = (words.get(rank, b"") + event.data)[:_MOST_WORDS]
            elif isinstance(event, NodeLost):
                outcome.lost[rank] = event.reason
            elif event.code:
                outcome.trouble(rank, _lines(words.get(rank, b""), event))
            if isinstance(event, NodeExit):
                outcome.files[rank] = sendings[event.node.id].files
                outcome.bytes[rank] = sendings[event.node.id].bytes
    return outcome


def fetch(
    invocation: Invocation, session: Session, nodes: Sequence[Node], copy: Copy, *, recursive: bool
) -> Outcome:
    """Copy files of `nodes` to this machine; those of several go to a folder for each, named by its rank."""
    receivings = {node.rank: _receiving(copy, node, many=len(nodes) > 1) for node in nodes}
    outcome, words = Outcome(), dict[int, bytes]()
    events = session.remote.run(nodes, sending_line(copy.sources, recursive=recursive))

    def told() -> str:
        whole = [each.total for each in receivings.values()]
        known = None if None in whole else sum(each or 0 for each in whole)
        return progress_text(sum(each.bytes for each in receivings.values()), known)

    try:
        with _progress(invocation, told), closing(events):
            for event in events:
                _heard(event, receivings[event.node.rank], words, outcome)
                if len(outcome.troubles) == len(receivings):
                    break
    finally:
        for receiving in receivings.values():
            receiving.abandon()
    outcome.files = {rank: each.files for rank, each in receivings.items()}
    outcome.bytes = {rank: each.bytes for rank, each in receivings.items()}
    return outcome


def _receiving(copy: Copy, node: Node, *, many: bool) -> Receiving:
    if not many:
        return Receiving(copy.target, copy.lands_in)
    return Receiving(str(Path(copy.target) / str(node.rank)) + "/", True)


def _heard(
    event: NodeEvent, receiving: Receiving, words: dict[int, bytes], outcome: Outcome
) -> None:
    """Take what one node sends; after the first thing that can't be taken, nothing more of it."""
    rank = event.node.rank
    if isinstance(event, NodeLost):
        outcome.lost[rank] = event.reason
        return
    if isinstance(event, NodeOutput) and event.stream is Stream.ERR:
        words[rank] = (words.get(rank, b"") + event.data)[:_MOST_WORDS]
        return
    if rank in outcome.troubles:
        return
    refused = []
    try:
        if isinstance(event, NodeOutput):
            receiving.feed(event.data)
            return
        if event.code:
            refused = _lines(words.get(rank, b""), event)
        else:
            receiving.end()
    except Refused as refusal:
        refused = [str(refusal)]
    if receiving.troubles or refused:
        outcome.trouble(rank, [*receiving.troubles, *refused])


def _lines(said: bytes, event: NodeExit) -> list[str]:
    lines = said.decode("utf-8", "replace").strip().splitlines()
    if event.code == 1 and lines and not lines[0].startswith("Traceback"):
        return lines
    return [lines[-1] if lines else f"the node's end of the copy ended with {event.code}"]


@contextmanager
def _progress(invocation: Invocation, told: Callable[[], str]) -> Iterator[None]:
    """While entered, a terminal shows how far it is; elsewhere nothing is said."""
    if invocation.json or not invocation.talk.is_terminal:
        yield
        return
    over = threading.Event()

    def tick() -> None:
        elapsed = 0.0
        while not over.wait(_TICK_S):
            elapsed += _TICK_S
            wait.tell(told(), elapsed=timedelta(seconds=elapsed))

    with invocation.talk.waiting() as wait:
        thread = threading.Thread(target=tick, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
