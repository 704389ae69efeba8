"""What is said between here and `unpack.py` on a node: the line that starts it, what it asks, and how it ended."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from flow_adapters.deltas import Delta
from flow_adapters.node_texts import with_looks
from flow_adapters.ssh.lines import WAITS, python_line
from flow_core.domain.allocation import Node
from flow_core.domain.code import Bundle
from flow_core.domain.run import Stream
from flow_core.ports.code import Packing
from flow_core.ports.shell import NodeEvent, NodeExit, NodeLost

_TAIL = 2_000
#: What the line of an upload that stays says once all is there; then it becomes the line that is its further input.
_STAY = f""" && echo '{{"there": true}}' && {WAITS}
"""


def upload_line(bundle: Bundle | Packing, *, target: str) -> str:
    """Return the line that makes a node hold the bundle's files in `target`."""
    script = with_looks(Path(__file__).with_name("unpack.py"))
    digest = [bundle.digest] if isinstance(bundle, Bundle) else []
    return python_line(script, target, *digest)


def staying(line: str) -> str:
    """Return the line of an upload that says `there`, and becomes the line that its further input is, if any."""
    return f"({line}){_STAY}"


def head_of(delta: Delta | None, **more: object) -> bytes:
    """Return the line that announces what is sent; None is all of a snapshot that is still being packed."""
    return _line_of({**(delta.head if delta is not None else {}), **more})


def tail_of(bundle: Bundle) -> bytes:
    """Return the line behind what was sent, or instead of anything."""
    return _line_of({"digest": bundle.digest})


def framed(piece: bytes) -> bytes:
    """Return a piece of what comes without its size having been told; an empty one ends it."""
    return len(piece).to_bytes(4, "big") + piece


def _line_of(told: Mapping[str, object]) -> bytes:
    return json.dumps(told).encode() + b"\n"


class Talk:
    """What one node says."""

    def __init__(self) -> None:
        self._begun = b""
        self._complaint = b""

    def take(self, stream: Stream, data: bytes) -> Iterator[dict[str, Any]]:
        """Yield what is asked or told in the next bytes."""
        if stream is Stream.ERR:
            self._complaint = (self._complaint + data)[-_TAIL:]
            return
        *lines, self._begun = (self._begun + data).split(b"\n")
        for line in lines:
            # A login shell may have had something to say first.
            with suppress(ValueError):
                said = json.loads(line)
                if isinstance(said, dict):
                    yield said

    def last(self, node: Node, code: int) -> NodeEvent:
        """Return the last event, now that it has ended with `code`."""
        if code == 0:
            return NodeExit(node, 0)
        lines = self._complaint.decode("utf-8", "replace").strip().splitlines()
        why = lines[-1] if lines else "it said nothing about why"
        return NodeLost(node, f"the files were not unpacked ({code}): {why}")
