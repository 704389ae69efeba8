"""What lies in a pretended node's folder, read and written: whether it should be up, how it starts, what it said."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from attrs import evolve, frozen

from flow_core.domain import node_files
from flow_core.domain.run import LogChunk, RunPhase, RunReport


@frozen
class NodeFolder:
    """One node's folder; any process may read it at any time."""

    path: Path

    def power(self) -> tuple[str, int]:
        """Return what is wanted of the node ("on", "off", "lost", "gone") and how often it was switched on."""
        power = read_json(self.path / "power.json")
        return power.get("is", "off"), power.get("number", 0)

    def set_power(self, to: str, number: int) -> None:
        """Write down what is wanted of the node."""
        write_text(self.path / "power.json", json.dumps({"is": to, "number": number}))

    def plan(self) -> dict[str, Any]:
        """Return how the node starts; empty if it never did."""
        return read_json(self.path / "node.json")

    def is_up(self) -> bool:
        """Whether any process of the node lives."""
        return is_locked(self.path / "init.lock")

    def report(self, *, at: node_files.Moment) -> RunReport | None:
        """Return what the node helper last wrote, with times turned by `at`; None before its first word."""
        # Asked first: a helper that ends in between has then written how.
        lives = is_locked(self.path / "flow" / "lock")
        state = read_json(self.path / "flow" / "state.json")
        if not state:
            return None
        if not lives and state.get("phase") in (RunPhase.WAITING.value, RunPhase.RUNNING.value):
            state |= {
                "phase": RunPhase.INTERRUPTED.value,
                "wants_delivery": False,
                "waiting_for": "",
            }
        # Written while it waited; a delivery that it has not looked at yet is one all the same.
        brought = read_json(self.path / "flow" / "delivery.json").get("number", 0)
        if brought > state.get("used", 0):
            state["wants_delivery"] = False
        state["log_bytes"] = _log_bytes(self.path / "flow" / "log.index")
        return node_files.parse_state(json.dumps(state), rank=self._rank(), at=at)

    def read_log(self, *, offset: int, limit: int, at: node_files.Moment) -> LogChunk | None:
        """Return a stretch of the log, which ends with the command or the node's disk; None before its first word."""
        report = self.report(at=at)
        gone = self.power()[0] == "gone" and not self.is_up()
        if report is None and not gone:
            return None
        over = gone or (report is not None and report.phase is RunPhase.EXITED)
        rank = self._rank()
        try:
            index = (self.path / "flow" / "log.index").open("rb")
        except FileNotFoundError:
            return LogChunk(rank=rank, offset=offset, next_offset=offset, is_last=over)
        with index, (self.path / "flow" / "log").open("rb") as log:
            stretches = _stretches(index.fileno(), offset, limit)
            end = min(offset + limit, stretches[-1].end) if stretches else offset
            log.seek(offset)
            data = log.read(end - offset)
            found = node_files.chunk(data, stretches, rank=rank, offset=offset, at=at)
        is_last = over and found.next_offset >= _log_bytes(self.path / "flow" / "log.index")
        return evolve(found, is_last=is_last)

    def _rank(self) -> int:
        return int(self.plan().get("rank", 0))


def is_locked(lock: Path) -> bool:
    """Whether some process holds `lock`."""
    import fcntl

    try:
        held = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(held)
    return False


def wait_until_free(lock: Path) -> None:
    """Return once nobody holds `lock`; for when that is a matter of moments."""
    import fcntl

    with lock.open("a") as waiting:
        fcntl.flock(waiting, fcntl.LOCK_SH)


def read_json(path: Path) -> dict[str, Any]:
    """Return what a file holds; empty where there is none."""
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    return found


def write_text(path: Path, text: str, *, mode: int = 0o600) -> None:
    """Replace a file as a whole."""
    new = path.with_name(f"{path.name}.{os.getpid()}")
    new.write_bytes(text.encode("utf-8", "surrogateescape"))
    new.chmod(mode)
    new.replace(path)


def _stretches(index: int, offset: int, limit: int) -> list[node_files.Stretch]:
    size = node_files.ENTRY.size
    count = os.fstat(index).st_size // size

    def stretch(number: int) -> node_files.Stretch:
        return node_files.parse_entry(os.pread(index, size, number * size))

    found: list[node_files.Stretch] = []
    number = node_files.first_stretch_past(offset, count=count, stretch=stretch)
    while number < count and (not found or found[-1].end < offset + limit):
        found.append(stretch(number))
        number += 1
    return found


def _log_bytes(index: Path) -> int:
    try:
        with index.open("rb") as entries:
            whole = os.fstat(entries.fileno()).st_size // node_files.ENTRY.size
            if not whole:
                return 0
            entries.seek((whole - 1) * node_files.ENTRY.size)
            return node_files.parse_entry(entries.read(node_files.ENTRY.size)).end
    except FileNotFoundError:
        return 0
