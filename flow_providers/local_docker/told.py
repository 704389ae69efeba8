"""What a node's first process told last, read from its container's standard output; see the node's `first.py`."""

from __future__ import annotations

import binascii
import json
from typing import Any

from attrs import field, frozen

from flow_providers.local_docker.engine import FRAME


@frozen(kw_only=True)
class Told:
    """A report, empty before the first; with the whole log and its index where a command has ended and said little."""

    state: dict[str, Any] = field(factory=dict)
    log: bytes | None = None
    index: bytes = b""


def last_told(answer: bytes) -> Told:
    """Return the last thing told in what the engine keeps of a container's output; other lines are passed by."""
    for line in reversed(_out(answer).splitlines()):
        try:
            state = json.loads(line)
            if state.pop("told"):
                log, index = state.pop("log", None), state.pop("index", "")
                return Told(
                    state=state,
                    log=None if log is None else binascii.a2b_base64(log),
                    index=binascii.a2b_base64(index),
                )
        except (ValueError, KeyError, AttributeError, TypeError):
            continue
    return Told()


def _out(answer: bytes) -> bytes:
    """Return what was written, without the engine's frames."""
    found, place = b"", 0
    while place + FRAME.size <= len(answer):
        _, length = FRAME.unpack_from(answer, place)
        place += FRAME.size
        found += answer[place : place + length]
        place += length
    return found
