"""For how long a task's nodes have been held without being ready for it, or told in vain, and why they aren't ready.

Measured on this process's own clock: a simulated market's minutes are too short for machines that really boot. A
watcher that starts over counts anew, which for what never comes is no harm.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta

from flow_core.domain.bid import BidState
from flow_core.domain.healing import unready_of
from flow_core.domain.status import TaskView
from flow_core.ports.shell import Call, NodeLost
from flow_core.services.placing import note
from flow_core.services.ports import Ports

#: How long nodes may take before their tasks' histories say what is amiss, in real time.
SOON = timedelta(minutes=2)
#: Tries further apart than this, in real time, say nothing of the time between: this machine slept.
GAP = timedelta(minutes=5)
#: Real seconds that a node may take to answer when it is asked why it doesn't.
ANSWER_S = 30.0


class Starting:
    """Keeps in mind since when which task's nodes have not been ready."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._since: dict[str, datetime] = {}
        self._told: set[str] = set()
        #: When a delivery first failed, and when one last did; success forgets both.
        self._failed: dict[str, tuple[datetime, datetime]] = {}

    def delivers(self, token: str, attempt: Callable[[], bool]) -> None:
        """Have the task's nodes told by `attempt`, which returns False, or raises, where not all of them were."""
        began, well = self._ports.clock.now(), False
        try:
            well = attempt()
        finally:
            first, last = self._failed.pop(token, (began, began))
            if not well:
                awake = began - last < GAP
                self._failed[token] = (first if awake else began, self._ports.clock.now())

    def undelivered(self, token: str) -> timedelta:
        """Return for how long every delivery to the task's nodes has failed."""
        first, last = self._failed.get(token, (None, None))
        return last - first if first is not None and last is not None else timedelta(0)

    def lasts(self, view: TaskView) -> timedelta | None:
        """Return for how long the task's nodes have not been ready; None when they are, or none are held."""
        token = view.record.token
        unready = unready_of(view.record, view.bid, view.allocation, view.reports)
        if unready is None:
            self._since.pop(token, None)
            self._told.discard(token)
            self._keep(view)
            return None
        now = self._ports.clock.now()
        lasted = now - self._since.setdefault(token, now)
        if lasted >= SOON and token not in self._told:
            self._told.add(token)
            why = "; ".join([unready.words, *self._reasons(view)])
            note(self._ports, token, "its nodes are not ready yet", why, unready.fault)
        return lasted

    def _keep(self, view: TaskView) -> None:
        """Write down when the task's nodes are first ready; from then on they are taken to be at work."""
        held = view.bid is not None and view.bid.state is BidState.ALLOCATED
        answer = view.allocation is not None and len(view.reports) >= len(view.allocation.nodes) > 0
        if view.record.ready_at is None and held and answer:
            now = self._ports.provider.clock.now()
            self._ports.journal.update(view.record.token, ready_at=now)

    def _reasons(self, view: TaskView) -> list[str]:
        """Return what keeps nodes from being logged in to, once each, for those that should answer and don't."""
        spoken = {report.rank for report in view.reports}
        nodes = view.allocation.nodes if view.allocation is not None else ()
        calls = [
            Call(node=node, line="true")
            for node in nodes
            if node.is_reachable and node.rank not in spoken
        ]
        with closing(self._ports.provider.shell.run_many(calls, timeout_s=ANSWER_S)) as events:
            return list(
                dict.fromkeys(event.reason for event in events if isinstance(event, NodeLost))
            )
