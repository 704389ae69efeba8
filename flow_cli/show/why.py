"""Why a task is where it is: what happened to it and whose fault that was, its tries, and what its recovery does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from flow_cli.show.layout import Cell
from flow_cli.show.text import clock_time
from flow_core.domain.duration import rough_duration
from flow_core.domain.ending import OUTAGE
from flow_core.domain.healing import recovery_at
from flow_core.domain.record import Fault, TaskEvent, TaskRecord
from flow_core.domain.task_parts import Recover

#: How many lines of the history are shown without --why.
NEWEST = 6
_ACTS = {Recover.MOVE: "looks for another region", Recover.RAISE: "raises the limit"}


def newest_lines(history: Sequence[TaskEvent], name: str) -> str:
    """Return the history's newest lines, and how to see those before them."""
    hidden = len(history) - NEWEST
    lines = [_line(event) for event in history[-NEWEST:]]
    if hidden > 0:
        lines.insert(0, f"… {hidden} more: `flow status {name} --why`")
    return "\n".join(lines)


def why_rows(
    record: TaskRecord, history: Sequence[TaskEvent], now: datetime
) -> list[tuple[str, Cell]]:
    """Return a panel's rows on a task's troubles; a row without text says nothing."""
    faults = Counter(event.fault for event in history if event.fault is not None)
    counted = ", ".join(f"{fault.value} {faults[fault]}" for fault in Fault if faults[fault])
    tries = f"{record.retried} of {record.spec.retries} used" if record.spec.retries else ""
    moves = str(record.moves) if record.moves else ""
    return [
        ("Faults", Cell(counted or "none")),
        ("Outage", Cell(_outage(record, now))),
        ("Recovery", Cell(_recovery(record))),
        ("Retries", Cell(tries)),
        ("Moves", Cell(moves)),
        ("History", Cell("\n".join(_line(event, told_apart=True) for event in history))),
    ]


def _outage(record: TaskRecord, now: datetime) -> str:
    if record.outage_since is None or record.has_ended:
        return ""
    ends = clock_time(record.outage_since + OUTAGE)
    return f"for {rough_duration(now - record.outage_since)}; if it lasts, the task ends at {ends}"


def _recovery(record: TaskRecord) -> str:
    recovery, at = record.spec.recovery, recovery_at(record)
    if recovery.how is Recover.WAIT:
        return "wait: the bid stays as it is until it is granted its nodes again"
    acts = _ACTS[recovery.how]
    if at is not None and not record.has_ended:
        return f"{recovery}: {acts} at {clock_time(at)}, and as long again after that"
    return f"{recovery}: {acts} {rough_duration(recovery.after)} after the nodes were taken"


def _line(event: TaskEvent, *, told_apart: bool = False) -> str:
    fault = f"{event.fault.value if event.fault is not None else '':<10}" if told_apart else ""
    return f"{clock_time(event.at)}  {fault}{event.what}" + (f": {event.why}" if event.why else "")
