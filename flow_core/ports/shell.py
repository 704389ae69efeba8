"""The shell role: commands and files on nodes, many at once. Required of every provider.

A node that gives no answer is an event, not an exception: nineteen results survive the twentieth.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

from attrs import frozen

if TYPE_CHECKING:
    from flow_core.domain.allocation import Node
    from flow_core.domain.code import Bundle
    from flow_core.domain.run import Stream
    from flow_core.ports.code import Packing


@frozen(kw_only=True)
class Call:
    """One command on one node: a line for `sh`. `stdin` is its whole input; without it, input is empty.

    `line` shows in the node's process list and `stdin` does not, so secrets go through `stdin`. An iterable is
    asked for a piece only once the node has taken those before, in a thread of its own; where it raises, the call is
    ended and lost. `lone` says that no other call to the node is likely to follow; it changes nothing but what is kept
    for one that does.
    """

    node: Node
    line: str
    stdin: bytes | Iterable[bytes] = b""
    lone: bool = False

    def pieces(self) -> Iterable[bytes]:
        """Return the input piece by piece."""
        return (self.stdin,) if isinstance(self.stdin, bytes) else self.stdin


@frozen
class NodeOutput:
    """Bytes that a call wrote, as they arrived; never empty."""

    node: Node
    stream: Stream
    data: bytes


@frozen
class NodeExit:
    """The last event of a call that ran: its exit code, 128+n for signal n."""

    node: Node
    code: int


@frozen
class NodeLost:
    """The last event of a call that could not run or whose end was not heard; `reason` is for people."""

    node: Node
    reason: str


NodeEvent = NodeOutput | NodeExit | NodeLost
#: What calls come to, as it happens. Whoever stops before its end closes it.
Events = Generator[NodeEvent, None, None]


class RemoteShell(Protocol):
    """Runs things on nodes. A call starts in the node's workspace, in a clean environment.

    Nothing of the caller's own environment is in it. `FLOW_HOME` is set there when the node script keeps its files
    elsewhere than in /opt/flow.
    """

    def run_many(self, calls: Sequence[Call], *, timeout_s: float | None = None) -> Events:
        """Run all calls at once and yield what happens as it happens; each call ends with one NodeExit or NodeLost.

        Output is whole and in order within a stream, and comes before the call's last event. A call that outlives
        `timeout_s` (seconds, of real time) is ended and reported NodeLost. Closing the generator ends what still runs.
        A dead or slow node never holds up the others. Never raises for a node.
        """
        ...

    def upload(self, nodes: Collection[Node], bundle: Bundle | Packing, *, target: str) -> Events:
        """Make the folder `target` on each node hold the bundle's files; each node ends with NodeExit(0) or NodeLost.

        `target` is absolute or relative to the workspace. Files of the bundle replace those of the same name; others
        stay. Nothing is written outside `target`. One that is still being packed may be sent meanwhile; where packing
        fails, that is raised, and no node is any different. A second upload of the same bundle sends nothing: it
        doesn't need the archive. What an earlier bundle brought and this one lacks may go, unless it was changed since.
        Contents, executable bits, symlinks and empty folders arrive as they were.
        """
        ...

    def attach(self, node: Node, line: str | None = None) -> int:
        """Give the caller's terminal to `line`, or to a login shell, on the node; return its exit code.

        Raises:
            NodeUnreachable: the node gave no answer.
        """
        ...

    def forward(self, node: Node, port: int, *, local_port: int = 0) -> AbstractContextManager[int]:
        """While entered, connections to the yielded loopback port reach `port` on the node; 0 picks a free one.

        Raises:
            NodeUnreachable: the node gave no answer.
            Conflict: `local_port` is taken on this machine.
            Unsupported: nothing outside this provider's nodes can connect to them.
        """
        ...
