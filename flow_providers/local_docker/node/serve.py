"""Answers what a command says and how it ends, for as long as it is asked: lines in, a line of JSON and bytes out.

    report            the helper's state, with `alive`: whether the helper runs, and `oom`: what ran out of memory
    log OFFSET LIMIT  a stretch of the log, described as the helper's own `log` does

Starting something in a running container takes a tenth of a second and more; asking this takes none.
Python 3.8, standard library only.
"""

from __future__ import annotations

import fcntl
import json
import os
import struct
import sys
from typing import Any

# ruff: noqa: PTH118, PTH123
HOME = os.environ.get("FLOW_HOME", "/opt/flow")
ENTRY = struct.Struct("<QIId")
STREAMS = ("out", "err", "note")
OOM = (
    ("/sys/fs/cgroup/memory.events", "oom_kill"),
    ("/sys/fs/cgroup/memory/memory.oom_control", "oom_kill"),
)


def main() -> None:
    """Answer line after line until there are no more."""
    for line in sys.stdin.buffer:
        words = line.split()
        head, data = report(), b""
        if words[0] == b"log":
            head, data = stretch(int(words[1]), int(words[2]), head)
        head["bytes"] = len(data)
        sys.stdout.buffer.write(json.dumps(head).encode() + b"\n" + data)
        sys.stdout.buffer.flush()


def report() -> dict[str, Any]:
    """Return the state; {} before the helper's first word."""
    alive = lives()
    state = loaded("state.json")
    if not state:
        return {}
    if not alive and state.get("phase") in ("waiting", "running"):
        state.update(phase="interrupted", wants_delivery=False, waiting_for="")
    used = loaded("delivery.json").get("number", 0) <= state.get("used", 0)
    state["wants_delivery"] = bool(state.get("wants_delivery")) and used
    index = content("log.index")
    state["log_bytes"] = end_of(index)
    state["oom"] = killed()
    return state


def stretch(offset: int, limit: int, state: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Return what describes a stretch of the log, and its bytes."""
    index = content("log.index")
    low, high = 0, len(index) // ENTRY.size
    count = high
    while low < high:
        middle = (low + high) // 2
        begin, length = entry(index, middle)[:2]
        if begin + length > offset:
            high = middle
        else:
            low = middle + 1
    pieces = []
    end = offset
    while low < count and end < offset + limit:
        begin, length, stream, at = entry(index, low)
        piece = min(begin + length, offset + limit) - end
        pieces.append([STREAMS[stream], piece, at])
        end += piece
        low += 1
    over = state.get("phase") == "exited" and end >= end_of(index)
    head = {"offset": offset, "next_offset": end, "pieces": pieces, "is_last": over}
    if end == offset:
        return head, b""
    with open(os.path.join(HOME, "log"), "rb") as file:
        return head, os.pread(file.fileno(), end - offset, offset)


def lives() -> bool:
    """Whether the helper runs: it holds the lock."""
    try:
        lock = os.open(os.path.join(HOME, "lock"), os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False


def killed() -> int:
    """Return how many processes of this container were ended because its memory was full."""
    for name, key in OOM:
        try:
            with open(name) as file:
                for line in file:
                    words = line.split()
                    if words[0] == key:
                        return int(words[1])
        except (OSError, ValueError, IndexError):
            pass
    return 0


def end_of(index: bytes) -> int:
    """Return where the log ends."""
    count = len(index) // ENTRY.size
    return sum(entry(index, count - 1)[:2]) if count else 0


def entry(index: bytes, number: int) -> Any:
    """Return one entry of the index: offset, length, stream, time."""
    return ENTRY.unpack_from(index, number * ENTRY.size)


def loaded(name: str) -> dict[str, Any]:
    """Return what a file of the helper's holds, {} where there is none."""
    try:
        found: dict[str, Any] = json.loads(content(name) or b"{}")
        return found
    except ValueError:
        return {}


def content(name: str) -> bytes:
    """Return a file's bytes, none where there is none."""
    try:
        with open(os.path.join(HOME, name), "rb") as file:
            return file.read()
    except OSError:
        return b""


main()
