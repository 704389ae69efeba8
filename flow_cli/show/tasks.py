"""Tasks as lists, in detail, and as documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from flow_cli.show.layout import Cell, Column, Panel, Table
from flow_cli.show.money import price_words
from flow_cli.show.text import age, clock_time, dollars, seconds, stamp
from flow_cli.show.why import newest_lines, why_rows
from flow_core.domain.duration import rough_duration
from flow_core.domain.healing import recovery_at
from flow_core.domain.lease import lease_words
from flow_core.domain.money import Spend
from flow_core.domain.record import TaskEvent
from flow_core.domain.run import RunReport
from flow_core.domain.status import TaskState, TaskView
from flow_core.domain.task_form import task_to_mapping
from flow_core.domain.waiting import Waiting


class CostLike(Protocol):
    """What a task has cost, as the costs service tells it."""

    @property
    def spent(self) -> Spend: ...  # noqa: D102
    @property
    def held(self) -> timedelta: ...  # noqa: D102
    @property
    def is_estimate(self) -> bool: ...  # noqa: D102


MARKS: dict[TaskState, tuple[str, str]] = {
    TaskState.HELD: ("◌", "cyan"),
    TaskState.PENDING: ("◌", "yellow"),
    TaskState.BIDDING: ("◌", "yellow"),
    TaskState.STARTING: ("◐", "yellow"),
    TaskState.RUNNING: ("●", "green"),
    TaskState.PREEMPTING: ("◑", "red"),
    TaskState.RELOCATING: ("◑", "yellow"),
    TaskState.PREEMPTED: ("◌", "red"),
    TaskState.PAUSED: ("○", "cyan"),
    TaskState.ENDING: ("◐", "dim"),
    TaskState.COMPLETED: ("✓", "dim"),
    TaskState.FAILED: ("✗", "red"),
    TaskState.CANCELLED: ("○", "dim"),
}


def state_cell(state: TaskState) -> Cell:
    """Return a state as a mark and a word: '● running'."""
    mark, style = MARKS[state]
    return Cell(f"{mark} {state.value}", style)


def gpu_text(view: TaskView) -> str:
    """Return what a task runs on: '8×H100·80G', or '4 × 8×H100·80G'."""
    shape, count = view.record.spec.instance_type, view.record.spec.num_instances
    label = shape.label if shape is not None else "?"
    return label if count == 1 else f"{count} × {label}"


def task_table(
    views: Sequence[TaskView],
    costs: Mapping[str, CostLike],
    now: datetime,
    *,
    simulated: bool,
    folded: Mapping[str, tuple[Cell, ...]] | None = None,
) -> Table:
    """Return the list of `flow status`; `folded` are the rows that stand for groups of tasks, by the group's token."""
    columns = (
        Column("Task", cuts=True),
        Column("Status"),
        Column("GPU"),
        Column("Region", wide=True),
        Column("Limit/hr", right=True),
        Column("Cost", right=True),
        Column("Age", right=True),
        Column("Exit", right=True, wide=True),
        Column("Command", cuts=True, wide=True),
    )
    left = dict(folded or {})
    rows = []
    for view in views:
        token = view.record.group_token
        if token in left:
            rows.append(left.pop(token))
        elif not folded or token not in folded:
            rows.append(_task_row(view, costs.get(view.record.token), now))
    return Table(
        columns=columns,
        rows=tuple(rows),
        empty="No tasks yet. `flow submit COMMAND -i 8xh100` starts one.",
        notes=("prices and ages are simulated",) if simulated and rows else (),
    )


def task_panel(
    view: TaskView,
    *,
    now: datetime,
    cost: CostLike | None,
    waits_for: Waiting | None,
    history: Sequence[TaskEvent],
    simulated: bool,
    owner: str,
    why: bool = False,
) -> Panel:
    """Return one task in detail: what happened to it last or, asked why, all of it and whose fault that was."""
    record, spec = view.record, view.record.spec
    rows = [
        ("Status", state_cell(view.state)),
        ("Waits", Cell(waits_for.text(now) if waits_for is not None else "")),
        ("Reason", Cell(record.reason)),
        ("Exit code", Cell("" if record.exit_code is None else str(record.exit_code))),
        ("Command", Cell(spec.command_line)),
        ("GPU", Cell(gpu_text(view))),
        ("Region", Cell(record.region)),
        (
            "Max price",
            Cell(
                price_words(
                    record.limit, spec.instance_type, spec.num_instances, simulated=simulated
                )
            ),
        ),
        ("Cost", Cell(cost_words(cost, simulated=simulated) if cost is not None else "")),
        ("Lease", Cell(lease_words(spec, limit=record.limit) if record.is_live else "")),
        ("Kept", Cell("yes: it costs money until cancelled" if _is_kept(view) else "")),
        ("Preemptions", Cell(str(record.preemptions) if record.preemptions else "")),
        ("Owner", Cell(owner)),
        ("Submitted", Cell(f"{clock_time(record.created_at)} ({age(record.created_at, now)} ago)")),
        (
            "Ended",
            Cell(
                f"{clock_time(record.ended_at)} ({age(record.ended_at, now)} ago)"
                if record.ended_at
                else ""
            ),
        ),
        ("Nodes", Cell("\n".join(_node_lines(view)))),
        *(
            why_rows(record, history, now)
            if why
            else [("History", Cell(newest_lines(history, record.name)))]
        ),
    ]
    return Panel(title=record.name, rows=tuple((name, cell) for name, cell in rows if cell.text))


def end_line(view: TaskView, cost: CostLike | None, *, simulated: bool) -> str:
    """Return the last line of an attached task: how it ended, what it cost, how long it held its nodes."""
    record = view.record
    parts = [f"{record.name} {view.state.value}"]
    if record.exit_code is not None:
        parts.append(f"exit code {record.exit_code}")
    elif record.reason:
        parts.append(record.reason)
    if cost is not None:
        parts.append(cost_words(cost, simulated=simulated))
    held = (
        cost.held
        if cost is not None and cost.held
        else (record.ended_at - record.began_at if record.ended_at and record.began_at else None)
    )
    if held is not None:
        parts.append(rough_duration(held))
    return " · ".join(parts)


def cost_words(cost: CostLike, *, simulated: bool) -> str:
    """Return a cost with what kind of number it is."""
    return (
        f"{cost.spent}"
        + (" at most, by the limit" if cost.is_estimate else "")
        + (" simulated" if simulated else "")
    )


def task_json(
    view: TaskView,
    *,
    cost: CostLike | None = None,
    waits_for: Waiting | None = None,
    history: Sequence[TaskEvent] | None = None,
) -> dict[str, object]:
    """Return one task as documents hold it."""
    record, spec = view.record, view.record.spec
    found: dict[str, object] = {
        "name": record.name,
        "token": record.token,
        "provider": record.provider,
        "state": view.state.value,
        "is_final": view.state.is_final,
        "is_live": record.is_live,
        "outcome": record.outcome.value if record.outcome else None,
        "exit_code": record.exit_code,
        "reason": record.reason or None,
        "command": spec.command_line,
        "instance_type": str(spec.instance_type) if spec.instance_type else None,
        "gpu": spec.instance_type.label if spec.instance_type else None,
        "num_instances": spec.num_instances,
        "region": record.region or None,
        "max_price_per_hour": dollars(record.limit),
        "max_total_per_hour": dollars(record.limit * spec.num_instances),
        "cost": None if cost is None else dollars(cost.spent),
        "cost_is_estimate": None if cost is None else cost.is_estimate,
        "held_s": None if cost is None or record.released else seconds(cost.held),
        "kept": spec.keep,
        "preemptions": record.preemptions,
        "moves": record.moves,
        "retried": record.retried,
        "outage_since": stamp(record.outage_since),
        "recovers_at": None if record.has_ended else stamp(recovery_at(record)),
        "owner": record.owner,
        "bid_id": record.bid_id,
        "created_at": stamp(record.created_at),
        "began_at": stamp(record.began_at),
        "ended_at": stamp(record.ended_at),
        "waits_for": None
        if waits_for is None
        else {"what": waits_for.what, "since": stamp(waits_for.since), "then": waits_for.then},
        "nodes": _nodes_json(view),
        "spec": task_to_mapping(spec),
    }
    if history is not None:
        found["history"] = [
            {
                "at": stamp(event.at),
                "what": event.what,
                "why": event.why,
                "fault": event.fault.value if event.fault is not None else None,
            }
            for event in history
        ]
    return found


def _is_kept(view: TaskView) -> bool:
    record = view.record
    return record.spec.keep and record.is_live and not record.cancel_asked


def _task_row(view: TaskView, cost: CostLike | None, now: datetime) -> tuple[Cell, ...]:
    record = view.record
    style = "dim" if view.state.is_final and not record.is_live else ""
    return (
        Cell(record.name, style or "bold"),
        state_cell(view.state),
        Cell(gpu_text(view), style),
        Cell(record.region, style),
        Cell(str(record.limit), style),
        Cell("" if cost is None else f"{'≤' if cost.is_estimate else ''}{cost.spent}", style),
        Cell(age(record.created_at, now), style),
        Cell("" if record.exit_code is None else str(record.exit_code), style),
        Cell(record.spec.command_line, style),
    )


def _node_lines(view: TaskView) -> list[str]:
    reports = {report.rank: report for report in view.reports}
    nodes = view.allocation.nodes if view.allocation is not None else ()
    lines = [
        f"{node.rank}  {node.state.value}"
        + (f"  {node.address}" if node.address else "")
        + _said(reports.get(node.rank))
        for node in nodes
    ]
    return lines or [f"{rank}  gone{_said(report)}" for rank, report in sorted(reports.items())]


def _said(report: RunReport | None) -> str:
    if report is None:
        return ""
    words = f"  {report.phase.value}" + (
        f" with {report.exit_code}" if report.exit_code is not None else ""
    )
    words += f", attempt {report.attempt + 1}" if report.attempt else ""
    words += f", {report.retried} retried" if report.retried else ""
    return words + (f": {report.waiting_for}" if report.waiting_for else "")


def _nodes_json(view: TaskView) -> list[dict[str, object]]:
    reports = {report.rank: report for report in view.reports}
    nodes = (
        {node.rank: node for node in view.allocation.nodes} if view.allocation is not None else {}
    )
    found: list[dict[str, object]] = []
    for rank in sorted({*nodes, *reports}):
        node, report = nodes.get(rank), reports.get(rank)
        found.append(
            {
                "rank": rank,
                "id": node.id if node else None,
                "state": node.state.value if node else "gone",
                "address": str(node.address) if node and node.address else None,
                "private_ip": node.private_ip if node else None,
                "phase": report.phase.value if report else None,
                "attempt": report.attempt if report else None,
                "retried": report.retried if report else None,
                "waiting_for": (report.waiting_for or None) if report else None,
                "exit_code": report.exit_code if report else None,
                "log_bytes": report.log_bytes if report else None,
            }
        )
    return found
