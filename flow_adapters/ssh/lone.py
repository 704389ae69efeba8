"""Calls and uploads to one node by OpenSSH's client: by one that waits there, one that began early, or a new one."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Protocol

from attrs import evolve

from flow_adapters.ssh.doors import Doors
from flow_adapters.ssh.lines import WAITS
from flow_core.domain.allocation import Node
from flow_core.ports.shell import Call, NodeEvent

if TYPE_CHECKING:
    from flow_adapters.ssh.piped import Client, Way
    from flow_adapters.ssh_ahead import Ahead
    from flow_core.domain.code import Bundle
    from flow_core.ports.code import Packing


class MakeLine(Protocol):
    """Returns the line that a node's login shell is given for a line of a call's."""

    def __call__(self, node: Node, line: str, *, keeps_code: bool) -> str:
        """Make it."""
        ...


class LoneCalls:
    """Each node is logged in to so once, besides a login that began early; then a connection of ours is better.

    `way` says how OpenSSH's client reaches a node, and whether it `keeps_door`; None where it can't. Threads may share
    one.
    """

    def __init__(
        self,
        *,
        doors: Doors,
        ahead: Ahead | None,
        way: Callable[..., Way | None],
        line: MakeLine,
    ) -> None:
        self._doors = doors
        self._ahead = ahead
        self._way = way
        self._line = line
        self._called_before: set[str] = set()

    def run(self, call: Call, timeout_s: float | None) -> Generator[NodeEvent, None, bool]:
        """Yield what happens; return whether anything did, for where not the call is to be made another way.

        What has just uploaded there, and waits, becomes the call: to log in takes longer than most calls.
        """
        from flow_adapters.ssh.piped import attended, called

        node = call.node
        waiting = self._doors.taken(node)
        way = None if waiting is not None or node.id in self._called_before else self._way(node)
        begun = self.begun(way) if way is not None else None
        if begun is None:  # what began early was there for nothing, and is not counted
            self._called_before.add(node.id)
        client = waiting or begun
        if client is not None:
            client.go_on(call.line, timeout_s=timeout_s)
            has_come = yield from attended(client, node, timeout_s=timeout_s)
        elif way is not None:
            line = self._line(node, call.line, keeps_code=True)
            has_come = yield from called(way, line, timeout_s=timeout_s)
        else:
            return False
        if has_come and way is not None:
            self.note(way)
        return has_come or waiting is not None

    def upload(
        self, node: Node, bundle: Bundle | Packing, text: str
    ) -> Generator[NodeEvent, None, bool]:
        """Send a snapshot where no connection of ours is there yet, by the line `text`; return as `run` does."""
        way = self._way(node, keeps_door=True)
        if way is None:
            return False
        from flow_adapters.ssh.piped_upload import uploaded
        from flow_adapters.ssh.upload_talk import staying

        text = staying(text) if way.keeps_door else text
        begun = self.begun(way)
        if begun is not None:
            begun.become(text)
        line = self._line(node, text, keeps_code=True)
        has_come = yield from uploaded(way, line, bundle, hold=self._doors.hold, begun=begun)
        if has_come:
            self.note(way)
        return has_come

    def note(self, way: Way) -> None:
        """Have the next process like this one begin as this way has been gone now."""
        if self._ahead is not None:
            self._ahead.note(self.words_ahead(way))

    def begun(self, way: Way) -> Client | None:
        """Return the client that began before this process had loaded, if it went this way."""
        from flow_adapters.ssh.piped import Client

        process = self._ahead.taken(self.words_ahead(way)) if self._ahead is not None else None
        return None if process is None else Client(way, WAITS, has_input=True, begun=process)

    def words_ahead(self, way: Way) -> list[str]:
        """Return the words of a client that waits for a line, through nobody's door."""
        bare = evolve(way, door=None, keeps_door=False)
        return bare.words(self._line(way.node, WAITS, keeps_code=True))
