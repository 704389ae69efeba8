"""A group of tasks: as one line among tasks, as a table of its own, and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from flow_cli.show.layout import Cell, Column, Table
from flow_cli.show.tasks import MARKS, CostLike, gpu_text, state_cell
from flow_cli.show.text import age, dollars, stamp
from flow_core.domain.group import GroupView
from flow_core.domain.money import Spend
from flow_core.domain.overview import Fold
from flow_core.domain.status import TaskState

_BUSY = (TaskState.RUNNING, TaskState.STARTING, TaskState.BIDDING, TaskState.PENDING)


def group_words(view: GroupView) -> str:
    """Return how many of its tasks are in which state: '10 running, 80 held, 8 completed'."""
    states = view.states
    return ", ".join(f"{states[state]:,} {state.value}" for state in MARKS if states[state])


def group_row(view: GroupView, costs: Mapping[str, CostLike], *, now: datetime) -> tuple[Cell, ...]:
    """Return the group as a row of `task_table`."""
    first = view.views[0]
    style = "dim" if view.is_final else ""
    spent, is_estimate = group_cost(view, costs)
    return (
        Cell(f"{view.name} ×{len(view.views):,}", style or "bold"),
        group_cell(view),
        Cell(gpu_text(first), style),
        Cell(first.record.region, style),
        Cell(str(first.record.limit), style),
        Cell(f"{'≤' if is_estimate else ''}{spent}", style),
        Cell(age(view.created_at, now), style),
        Cell("" if view.exit_code is None else str(view.exit_code), style),
        Cell(first.record.spec.command_line, style),
    )


def group_cost(view: GroupView, costs: Mapping[str, CostLike]) -> tuple[Spend, bool]:
    """Return what its tasks have cost together, and whether some of that was reckoned from limits."""
    known = [costs[each.record.token] for each in view.views if each.record.token in costs]
    return sum((each.spent for each in known), Spend.ZERO), any(each.is_estimate for each in known)


def group_table(view: GroupView, costs: Mapping[str, CostLike], *, simulated: bool) -> Table:
    """Return one row a task, in their order, under what they come to."""
    columns = (
        Column("Task", cuts=True),
        Column("State"),
        Column("Exit", right=True),
        Column("Cost", right=True),
        Column("Reason", folds=True),
    )
    rows = tuple(
        (
            Cell(each.record.name, "bold"),
            state_cell(each.state),
            Cell("" if each.record.exit_code is None else str(each.record.exit_code)),
            Cell(str(costs[each.record.token].spent) if each.record.token in costs else ""),
            Cell(each.record.reason, "dim"),
        )
        for each in view.views
    )
    at_once = f", {view.at_once:,} at once" if view.at_once else ""
    spent, is_estimate = group_cost(view, costs)
    words = "at most, by the limits" if is_estimate else ""
    return Table(
        columns=columns,
        rows=rows,
        title=f"{view.name}: {len(view.views):,} tasks{at_once}",
        notes=(
            " ".join(
                filter(None, (f"{group_words(view)}; {spent}", words, "simulated" * simulated))
            ),
        ),
    )


def group_json(view: GroupView, costs: Mapping[str, CostLike]) -> dict[str, object]:
    """Return the group without its tasks, for programs."""
    spent, is_estimate = group_cost(view, costs)
    return fold_json(Fold(view=view, spent=spent, is_estimate=is_estimate))


def fold_json(fold: Fold) -> dict[str, object]:
    """Return a group without its tasks, for programs."""
    view = fold.view
    return {
        "name": view.name,
        "token": view.token,
        "at_once": view.at_once or None,
        "tasks": len(view.views),
        "states": {state.value: count for state, count in sorted(view.states.items())},
        "is_final": view.is_final,
        "exit_code": view.exit_code,
        "cost": dollars(fold.spent),
        "cost_is_estimate": fold.is_estimate,
        "created_at": stamp(view.created_at),
    }


def group_cell(view: GroupView) -> Cell:
    """Return how many of its tasks are where, in marks."""
    return Cell(_marks(view), _style(view))


def _marks(view: GroupView) -> str:
    counts: dict[str, int] = {}
    for state, (mark, _) in MARKS.items():
        if view.states[state]:
            counts[mark] = counts.get(mark, 0) + view.states[state]
    order = sorted(counts, key="●◐◑◌✓✗○".index)
    return " ".join(f"{mark} {counts[mark]:,}" for mark in order)


def _style(view: GroupView) -> str:
    states = view.states
    if states[TaskState.FAILED]:
        return "red"
    if view.is_final:
        return "dim"
    return next((MARKS[state][1] for state in _BUSY if states[state]), "cyan")
