"""Looking at everything live, again and again, with as few calls as that takes: what `flow status --watch` shows."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress

from flow_core.domain.bid import Quote
from flow_core.domain.group import GroupView
from flow_core.domain.money import Spend
from flow_core.domain.overview import Fold, Overview, Row
from flow_core.domain.status import TaskView
from flow_core.domain.waiting import waiting
from flow_core.errors import FlowError
from flow_core.services.costs import Cost, Costs
from flow_core.services.groups import Groups
from flow_core.services.log_reading import read
from flow_core.services.looking import look
from flow_core.services.ports import Ports
from flow_core.services.tasks import Tasks

#: How many of the logs' last lines are kept, of all tasks together.
LINES = 200
#: How much of a log that is there already is read at the first look, in bytes.
_FIRST_BYTES = 4_096
#: A terminal's own commands, in a log: colours, moves of the cursor.
_CONTROL = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")


class Overviews:
    """Looks at a provider's live tasks and those that ended last, or at one task or group, and follows their logs."""

    def __init__(self, ports: Ports, *, task: str | None = None, ended: int = 5) -> None:
        self._ports = ports
        self._task = task
        self._ended = ended
        self._groups = Groups(ports, Tasks(ports))
        self._offsets: dict[str, int] = {}
        self._rests: dict[str, bytes] = {}
        self._lines: deque[tuple[str, str]] = deque(maxlen=LINES)

    def look(self) -> Overview:
        """Return how everything is now.

        Five calls of the provider, however many tasks there are, and one for each log that has grown.

        Raises:
            NotFound: the one task or group isn't known.
            FlowError: the provider didn't answer.
        """
        ports = self._ports
        name = ports.provider.name
        if self._task is not None:
            records = list(self._groups.called(self._task))
        else:
            records = list(ports.journal.recent(self._ended, provider=name))
        views = look(ports, records)
        groups = self._groups.behind(views) if self._task is None else {}
        behind = [each.record for group in groups.values() for each in group.views]
        costs = Costs(ports).of([*records, *behind])
        quotes = self._quotes(views)
        now = ports.provider.clock.now()
        rows = []
        for view in views:
            record, cost = view.record, costs[view.record.token]
            quote = quotes.get((record.type_id, record.region))
            rows.append(
                Row(
                    view=view,
                    quote=quote,
                    spent=cost.spent,
                    is_estimate=cost.is_estimate,
                    waits_for=waiting(view, quote, now),
                )
            )
            self._follow(view)
        rows.sort(key=lambda row: not row.view.record.is_live)
        is_watched = not any(row.view.record.is_live for row in rows) or self._is_watched()
        return Overview(
            at=now,
            rows=tuple(rows),
            folds={token: _fold(group, costs) for token, group in groups.items()},
            lines=tuple(self._lines),
            watcher_runs=is_watched,
        )

    def _is_watched(self) -> bool:
        """Whether a watcher ran; one that didn't is started for the next look."""
        if self._ports.watch.is_running():
            return True
        with suppress(FlowError):
            self._ports.watch.ensure()
        return False

    def _quotes(self, views: Sequence[TaskView]) -> dict[tuple[str, str], Quote]:
        shapes = {view.record.spec.instance_type for view in views if view.record.is_live}
        if not shapes:
            return {}
        shape = next(iter(shapes)) if len(shapes) == 1 else None
        return {
            (quote.type_id, quote.region): quote
            for quote in self._ports.provider.market.quotes(shape)
        }

    def _follow(self, view: TaskView) -> None:
        """Read what the first node has written since the last look; a node that is away is read next time."""
        record = view.record
        size = next((report.log_bytes for report in view.reports if report.rank == 0), 0)
        if not record.is_live and record.token not in self._offsets:
            return
        offset = self._offsets.setdefault(record.token, max(0, size - _FIRST_BYTES))
        # What was written between the last look and the task's end is told by nobody's report any more.
        if size <= offset and record.is_live:
            return
        if not record.is_live:
            del self._offsets[record.token]
        try:
            chunk = read(self._ports, record, 0, offset=offset, limit=1 << 16)
        except FlowError:
            return
        if record.is_live:
            self._offsets[record.token] = chunk.next_offset
        whole = self._rests.get(record.token, b"") + chunk.data
        *lines, self._rests[record.token] = whole.split(b"\n")
        for line in lines[-LINES:]:
            text = _CONTROL.sub("", line.decode("utf-8", "replace")).rstrip("\r")
            self._lines.append((record.name, text.rpartition("\r")[2].expandtabs(4)))


def _fold(group: GroupView, costs: Mapping[str, Cost]) -> Fold:
    known = [costs[each.record.token] for each in group.views]
    return Fold(
        view=group,
        spent=sum((each.spent for each in known), Spend.ZERO),
        is_estimate=any(each.is_estimate for each in known),
    )
