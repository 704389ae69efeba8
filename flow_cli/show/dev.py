"""The dev box as a panel and as a document, and the lines that say when it stops costing money."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from flow_cli.show.layout import Cell, Panel
from flow_cli.show.money import price_words
from flow_cli.show.tasks import CostLike, cost_words, gpu_text, state_cell, task_json
from flow_cli.show.text import clock_time, dollars, stamp
from flow_core.domain.box_inside import Inside, Person
from flow_core.domain.duration import format_duration
from flow_core.domain.money import Spend
from flow_core.domain.record import TaskRecord
from flow_core.domain.status import TaskState, TaskView

OWNER = "you"


def made_line(record: TaskRecord, *, pauses: bool) -> str:
    """Return what is said once a box was made."""
    return (
        f"{record.name} stays. {_rule(record, pauses)}; `flow dev stop` does so at once, and "
        "`flow dev` brings it back."
    )


def leaving_line(record: TaskRecord, *, pauses: bool, now: datetime) -> str:
    """Return what is said to somebody who leaves a box's shell."""
    timeout = record.spec.idle_timeout
    if timeout is None:
        return f"{record.name} goes on, and costs money until `flow dev stop`."
    verb = "pauses" if pauses else "ends"
    return f"{record.name} {verb} at about {clock_time(now + timeout)} unless it is used again."


def box_panel(
    view: TaskView, inside: Inside, cost: CostLike, *, now: datetime, pauses: bool, simulated: bool
) -> Panel:
    """Return one box: what it is and costs, when it stops, what is in it and who."""
    record, spec = view.record, view.record.spec
    price = price_words(record.limit, spec.instance_type, 1, simulated=simulated)
    rows = [
        ("Status", state_cell(view.state)),
        ("Folder", Cell(spec.code or "")),
        ("GPU", Cell(gpu_text(view))),
        ("Image", Cell(spec.image or "")),
        ("Max price", Cell(price)),
        ("Cost", Cell(cost_words(cost, simulated=simulated))),
        ("Stops", Cell(_stops(view, inside, now, pauses))),
        ("Runs now", Cell("; ".join(inside.running))),
        ("Environments", Cell(", ".join(inside.envs))),
        ("Containers", Cell(", ".join(inside.images))),
    ]
    people = inside.people if len(inside.people) > 1 else ()
    for person in people:
        rows.append((f"  {person.name or OWNER}", Cell(_person(person, inside, cost.spent))))
    notes = (f"inside: not known, {inside.trouble}",) if inside.trouble else ()
    return Panel(title=record.name, rows=tuple(row for row in rows if row[1].text), notes=notes)


def box_json(view: TaskView, inside: Inside, cost: CostLike, *, pauses: bool) -> dict[str, Any]:
    """Return one box as a document: the task, and what it told of itself."""
    record = view.record
    return {
        "task": task_json(view),
        "folder": record.spec.code,
        "cost": dollars(cost.spent),
        "idle_since": stamp(record.idle_since),
        "stops_at": stamp(_stops_at(record)),
        "when_idle": "pause" if pauses else "end",
        "environments": list(inside.envs),
        "images": list(inside.images),
        "running": list(inside.running),
        "people": [
            {
                "name": each.name or None,
                "here": each.is_here,
                "seconds": each.seconds,
                "share": inside.share_of(each),
                "cost": dollars(_part(cost.spent, inside.share_of(each))),
            }
            for each in inside.people
        ],
        "trouble": inside.trouble or None,
    }


def _rule(record: TaskRecord, pauses: bool) -> str:
    timeout = record.spec.idle_timeout
    if timeout is None:
        return "It costs money until you stop it"
    what = "It pauses, with its disk kept," if pauses else "It ends"
    return f"{what} when nobody has used it for {format_duration(timeout)}"


def _stops(view: TaskView, inside: Inside, now: datetime, pauses: bool) -> str:
    record = view.record
    timeout, verb = record.spec.idle_timeout, "pauses" if pauses else "ends"
    if view.state is TaskState.PAUSED:
        return "it costs nothing now; `flow dev` brings it back"
    if timeout is None:
        return "when you stop it"
    at = _stops_at(record)
    if at is None or inside.running:
        return f"{verb} {format_duration(timeout)} after its last use"
    return f"{verb} at {clock_time(max(at, now))} unless it is used"


def _stops_at(record: TaskRecord) -> datetime | None:
    timeout: timedelta | None = record.spec.idle_timeout
    if record.idle_since is None or timeout is None:
        return None
    return record.idle_since + timeout


def _person(person: Person, inside: Inside, spent: Spend) -> str:
    share = inside.share_of(person)
    words = f"{_part(spent, share)} ({share:.0%})"
    return f"{words}, here now" if person.is_here else words


def _part(spent: Spend, share: float) -> Spend:
    return Spend(round(spent.micros * share))
