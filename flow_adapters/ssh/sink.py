"""Where events cross from the room to the caller: a bounded queue that makes the nodes wait when it is full.

A channel that brings bytes while the queue is full is paused. Its window then fills, the node's sshd stops reading, and
the command's own write blocks: what a slow caller doesn't take stays on the node.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable

from flow_core.ports.shell import NodeEvent, NodeOutput

#: Bytes that may wait for the caller, from all nodes together.
CAPACITY = 4 << 20
#: What an event costs besides its bytes, so that many small ones count too.
_EVENT = 200
_GLANCE_S = 1.0


class Sink:
    """Takes events in the room and gives them, in order, to one caller in another thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, capacity: int = CAPACITY) -> None:
        self._loop = loop
        self._capacity = capacity
        self._events: deque[NodeEvent] = deque()
        self._size = 0
        self._ready = threading.Condition()
        self._waiting: list[Callable[[], None]] = []
        self._is_shut = False

    def put(self, event: NodeEvent, resume: Callable[[], None] | None = None) -> bool:
        """Add an event; False when its source must stop until `resume` is called, in the room."""
        with self._ready:
            if self._is_shut:
                return True
            self._events.append(event)
            self._size += _EVENT + (len(event.data) if isinstance(event, NodeOutput) else 0)
            self._ready.notify()
            if resume is None or self._size < self._capacity:
                return True
            self._waiting.append(resume)
            return False

    def take(self) -> list[NodeEvent]:
        """Wait for events and return all that are there; sources that had to stop go on."""
        with self._ready:
            # Woken now and then, because Windows lets Ctrl-C through only there.
            while not self._events:
                self._ready.wait(_GLANCE_S)
            events = list(self._events)
            self._empty()
        return events

    def shut(self) -> None:
        """Take nothing more; what still comes is dropped, and nobody has to wait."""
        with self._ready:
            self._is_shut = True
            self._empty()

    def _empty(self) -> None:
        self._events.clear()
        self._size = 0
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._loop.call_soon_threadsafe(_all, waiting)


def _all(resumes: list[Callable[[], None]]) -> None:
    for resume in resumes:
        resume()
