"""A task record as the text that the journal's rows hold, exact to the micro-dollar and microsecond.

The task itself is kept in its plain form, but for the shape: a provider may offer a GPU that nobody else knows.
Fields that a row lacks, because an older Flow wrote it, have their default.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from operator import attrgetter
from typing import Any

from attrs import astuple, fields

from flow_core.domain.bid import BidState
from flow_core.domain.money import Price, Spend
from flow_core.domain.record import Fault, Outcome, Step, TaskEvent, TaskRecord
from flow_core.domain.shape import InstanceShape
from flow_core.domain.task import TaskSpec
from flow_core.domain.task_form import task_from_mapping, task_to_mapping

#: A record's fields, without its task, as JSON has them.
Rest = dict[str, Any]

#: Type of a field, as the record declares it -> what reads its plain form.
READERS: dict[str, Callable[..., Any]] = {
    "str": str,
    "int": int,
    "bool": bool,
    "datetime": datetime.fromisoformat,
    "Price": Price,
    "Spend": Spend,
    "Step": Step,
    "Outcome": Outcome,
    "BidState": BidState,
}


def spec_text(spec: TaskSpec) -> str:
    """Write a task."""
    plain = task_to_mapping(spec)
    if spec.instance_type is not None:
        shape = spec.instance_type
        plain["instance_type"] = astuple(shape)
    return _dense(plain)


def spec_of(text: str) -> TaskSpec:
    """Read a task that `spec_text` wrote.

    Raises:
        ValueError, InvalidRequest: `text` was written by something else.
    """
    plain = json.loads(text)
    if "instance_type" in plain:
        plain["instance_type"] = InstanceShape(*plain["instance_type"])
    if "bid_policy" in plain:
        from flow_core.domain.policy_form import kept_policy

        plain["bid_policy"] = kept_policy(str(plain["bid_policy"]))
    return task_from_mapping(plain)


def rest_of(record: TaskRecord) -> Rest:
    """Return the plain form of all of a record but its task; what has its default is left out."""
    return rest_changed({}, dict(zip(_NAMES, _ALL(record), strict=True)))


def rest_changed(rest: Rest, changes: Mapping[str, object]) -> Rest:
    """Return the plain form `rest` with some of the record's fields changed."""
    plain = dict(rest)
    for name, value in changes.items():
        if value == _DEFAULTS[name]:
            plain.pop(name, None)
        elif name != "spec":
            write = _WRITERS.get(type(value))
            plain[name] = value if write is None else write(value)
    return plain


def rest_text(rest: Rest) -> str:
    """Write the plain form of a record."""
    return _dense(rest)


def rest_read(text: str) -> Rest:
    """Read what `rest_text` wrote.

    Raises:
        ValueError, TypeError: `text` was written by something else.
    """
    return dict(json.loads(text))


def changed(record: TaskRecord, changes: Mapping[str, Any]) -> TaskRecord:
    """Return the record with some fields changed, as `attrs.evolve` does, in half of its time."""
    return TaskRecord(**{**dict(zip(_NAMES, _ALL(record), strict=True)), **changes})


def record_of(rest: Rest, spec: TaskSpec) -> TaskRecord:
    """Return the record with this plain form, around its task.

    Raises:
        ValueError, KeyError, TypeError: `rest` was written by something else.
    """
    values = {name: _reader(name)(value) for name, value in rest.items()}
    return TaskRecord(spec=spec, **values)


def event_text(event: TaskEvent) -> str:
    """Write a line of history."""
    fault = [] if event.fault is None else [event.fault.value]
    return _dense([event.at.isoformat(), event.what, event.why, *fault])


def event_of(text: str) -> TaskEvent:
    """Read a line that `event_text` wrote."""
    at, what, why, *fault = json.loads(text)
    found = Fault(fault[0]) if fault else None
    return TaskEvent(at=datetime.fromisoformat(at), what=what, why=why, fault=found)


_NAMES = [each.name for each in fields(TaskRecord)]
_ALL = attrgetter(*_NAMES)
_DEFAULTS = {each.name: each.default for each in fields(TaskRecord)}
_dense = json.JSONEncoder(separators=(",", ":")).encode
#: What JSON has no form for; the rest is text and numbers, and members of enumerations that are text.
_WRITERS: dict[type, Callable[[Any], object]] = {
    datetime: datetime.isoformat,
    Price: attrgetter("micros"),
    Spend: attrgetter("micros"),
}
_TYPES = {each.name: str(each.type).partition(" |")[0] for each in fields(TaskRecord)}


def _reader(name: str) -> Callable[..., Any]:
    return READERS[_TYPES[name]]
