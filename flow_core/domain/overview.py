"""Everything live at one moment, as a view that is looked at again and again; and what changed between two of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime

from attrs import field, frozen

from flow_core.domain.bid import Quote
from flow_core.domain.group import GroupView
from flow_core.domain.money import Price, Spend
from flow_core.domain.status import TaskState, TaskView
from flow_core.domain.waiting import Waiting

#: States in which nodes are held, and cost what the market asks.
_PAID = frozenset({TaskState.RUNNING, TaskState.PREEMPTING})


@frozen(kw_only=True)
class Row:
    """One task: its view, its market now (None where it isn't offered any more), its cost, what it waits for."""

    view: TaskView
    quote: Quote | None
    spent: Spend
    is_estimate: bool = False
    waits_for: Waiting | None = None

    @property
    def hourly(self) -> Price:
        """What it costs an hour now: the price, at most the limit, of every node that it holds."""
        record = self.view.record
        if self.view.state not in _PAID or record.spec.reservation is not None:
            return Price.ZERO
        each = record.limit if self.quote is None else min(self.quote.price, record.limit)
        return each * record.spec.num_instances

    @property
    def pressure(self) -> float | None:
        """The price as a share of the limit: over 1 it is outbid. None where there is no bid or no price."""
        record = self.view.record
        if self.quote is None or record.limit == Price.ZERO or not record.is_live:
            return None
        return self.quote.price.micros / record.limit.micros

    @property
    def nodes(self) -> str:
        """How many nodes are in which state: '2 running, 1 lost'; '' without nodes."""
        allocation = self.view.allocation
        counts = Counter(node.state.value for node in allocation.nodes) if allocation else Counter()
        return ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))


@frozen(kw_only=True)
class Fold:
    """A group that is shown as one line: its tasks, the ended ones too, and what they have cost together."""

    view: GroupView
    spent: Spend
    is_estimate: bool = False

    @property
    def name(self) -> str:
        """Its name, and how many tasks it has."""
        return f"{self.view.name} ×{len(self.view.views):,}"

    @property
    def words(self) -> str:
        """How many of its tasks are in which state: '3 running, 7 held'."""
        states = self.view.states
        return ", ".join(f"{states[state]:,} {state.value}" for state in TaskState if states[state])


@frozen(kw_only=True)
class Overview:
    """One look. `at` is on the provider's clock; `lines` are the logs' last lines with their task, oldest first.

    `folds` are the groups that stand for their rows, by the group's token.
    """

    at: datetime
    rows: tuple[Row, ...] = ()
    folds: Mapping[str, Fold] = field(factory=dict)
    lines: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    watcher_runs: bool = True

    @property
    def live(self) -> int:
        """How many tasks are live."""
        return sum(row.view.record.is_live for row in self.rows)

    @property
    def spent(self) -> Spend:
        """What the live tasks have cost."""
        return sum((row.spent for row in self.rows if row.view.record.is_live), Spend.ZERO)

    @property
    def hourly(self) -> Price:
        """What is paid an hour now."""
        return Price(sum(row.hourly.micros for row in self.rows))


def changes(before: Overview | None, after: Overview) -> list[tuple[str, str]]:
    """Return what is different, as task and sentence: states, nodes, and prices that passed a limit.

    Of a group that is folded, how many of its tasks are in which state.
    """
    known = {} if before is None else {row.view.record.token: row for row in before.rows}
    found: list[tuple[str, str]] = []
    for token, fold in after.folds.items():
        was = before.folds.get(token) if before is not None else None
        if was is None or was.words != fold.words:
            found.append((fold.name, fold.words))
    for row in after.rows:
        if row.view.record.group_token in after.folds:
            continue
        old, name = known.get(row.view.record.token), row.view.record.name
        if old is None and not row.view.record.is_live:
            continue
        if old is None or old.view.state is not row.view.state:
            since = f", was {old.view.state}" if old is not None else ""
            waits = f": {row.waits_for.what}" if row.waits_for is not None else _ending(row)
            found.append((name, f"{row.view.state}{since}{waits}"))
        elif old.nodes != row.nodes and row.nodes:
            found.append((name, f"nodes: {row.nodes}"))
        crossed = _crossed(old, row)
        if crossed:
            found.append((name, crossed))
    return found


def _ending(row: Row) -> str:
    record = row.view.record
    if not row.view.state.is_final:
        return ""
    code = f" with exit code {record.exit_code}" if record.exit_code is not None else ""
    return f"{code}, for {row.spent}" + (f": {record.reason}" if record.reason else "")


def _crossed(old: Row | None, row: Row) -> str:
    if row.pressure is None or row.quote is None or row.view.state.is_final:
        return ""
    was = old.pressure if old is not None else None
    limit = row.view.record.limit
    if row.pressure >= 1 and (was is None or was < 1):
        return f"the price of {row.quote.price}/hr has reached the limit of {limit}/hr"
    if row.pressure < 1 and was is not None and was >= 1:
        return f"the price of {row.quote.price}/hr is under the limit of {limit}/hr again"
    return ""
