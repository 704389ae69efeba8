"""Since when a task's nodes have had nothing to do, as the kit on each of them tells.

A node that doesn't answer proves nothing, so a task ends for idleness only on the word of all of its nodes, asked in
that very tick. After a stretch in which nobody asked, as while a laptop slept, idleness counts anew: who computed on
the GPUs or was logged in meanwhile is not known.
"""

from __future__ import annotations

import json
from contextlib import closing
from datetime import datetime, timedelta

from flow_core.domain.allocation import Allocation
from flow_core.domain.run import RunPhase, Stream
from flow_core.domain.status import TaskView
from flow_core.ports.shell import Call, NodeExit, NodeOutput
from flow_core.services.ports import Ports

#: How often nodes are asked at least, in real time, and how long a silence between two looks may be.
PAUSE = timedelta(seconds=30)
SILENCE = timedelta(minutes=5)
#: Real seconds that a node may take to answer; nvidia-smi alone takes some.
ANSWER_S = 30.0
#: What asks a node.
ASK = '"${FLOW_PYTHON:-python3}" "${FLOW_HOME:-/opt/flow}/kit.zip" idle'


class Idling:
    """Asks nodes of tasks with an idle timeout, and keeps since when they are idle in the journal."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._asked: dict[str, datetime] = {}

    def since(self, view: TaskView) -> datetime | None:
        """Return since when all nodes of a task have had nothing to do; None while one has, or nobody knows."""
        record, ports = view.record, self._ports
        timeout, allocation = record.spec.idle_timeout, view.allocation
        began = {RunPhase.RUNNING, RunPhase.EXITED}
        if timeout is None or allocation is None:
            return None
        if not allocation.is_complete or not any(each.phase in began for each in view.reports):
            return self._keep(view, None)
        now, real = ports.provider.clock.now(), ports.clock.now()
        is_due = record.idle_since is not None and record.idle_since + timeout <= now
        asked = self._asked.get(record.token)
        if asked is not None and not is_due and real - asked < min(PAUSE, timeout / 4):
            return record.idle_since
        self._asked[record.token] = real
        told = self._told(allocation)
        if len(told) < len(allocation.nodes):
            return None if is_due else record.idle_since
        if all(idle and gap_s <= SILENCE.total_seconds() for idle, gap_s in told):
            return record.idle_since or self._keep(view, now)
        quiet = all(idle for idle, _ in told)
        return self._keep(view, now if quiet else None)

    def _keep(self, view: TaskView, since: datetime | None) -> datetime | None:
        if view.record.idle_since != since:
            self._ports.journal.update(view.record.token, idle_since=since)
        return since

    def _told(self, allocation: Allocation) -> list[tuple[bool, float]]:
        """Return what nodes said; one that gave no answer is left out."""
        calls = [Call(node=node, line=ASK) for node in allocation.nodes]
        said: dict[int, bytes] = {}
        told: list[tuple[bool, float]] = []
        with closing(self._ports.provider.shell.run_many(calls, timeout_s=ANSWER_S)) as events:
            for event in events:
                rank = event.node.rank
                if isinstance(event, NodeOutput) and event.stream is Stream.OUT:
                    said[rank] = said.get(rank, b"") + event.data
                elif isinstance(event, NodeExit) and event.code == 0:
                    told += _read(said.get(rank, b""))
        return told


def _read(answer: bytes) -> list[tuple[bool, float]]:
    try:
        found = json.loads(answer)
    except ValueError:
        return []
    if not isinstance(found, dict) or not isinstance(found.get("idle"), bool):
        return []
    return [(found["idle"], float(found.get("gap_s") or 0.0))]
