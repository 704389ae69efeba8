"""A task record as the text that the journal's rows hold, exact to the micro-dollar and microsecond.

The task itself is kept in its plain form, but for the shape: a provider may offer a GPU that nobody else knows.
Fields that a row lacks, because an older Flow wrote it, have their default.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import Enum
from operator import attrgetter
from typing import Any

from attrs import astuple, fields

from flow_core.domain.bid import BidState
from flow_core.domain.money import Price, Spend
from flow_core.domain.policy_form import kept_policy
from flow_core.domain.record import Fault, Outcome, Step, TaskEvent, TaskRecord
from flow_core.domain.shape import InstanceShape
from flow_core.domain.task import TaskSpec
from flow_core.domain.task_form import task_from_mapping, task_to_mapping

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
    return json.dumps(plain, separators=(",", ":"))


def spec_of(text: str) -> TaskSpec:
    """Read a task that `spec_text` wrote.

    Raises:
        ValueError, InvalidRequest: `text` was written by something else.
    """
    plain = json.loads(text)
    if "instance_type" in plain:
        plain["instance_type"] = InstanceShape(*plain["instance_type"])
    if "bid_policy" in plain:
        plain["bid_policy"] = kept_policy(str(plain["bid_policy"]))
    return task_from_mapping(plain)


def rest_text(record: TaskRecord) -> str:
    """Write all of a record but its task."""
    plain = {
        name: value if type(value) in _PLAIN else _plain(value)
        for name, default, value in zip(_NAMES, _DEFAULTS, _ALL(record), strict=True)
        if value is not default and value != default and name != "spec"
    }
    return json.dumps(plain, separators=(",", ":"))


def changed(record: TaskRecord, changes: Mapping[str, Any]) -> TaskRecord:
    """Return the record with some fields changed, as `attrs.evolve` does, in half of its time."""
    return TaskRecord(**{**dict(zip(_NAMES, _ALL(record), strict=True)), **changes})


def record_of(rest: str, spec: TaskSpec) -> TaskRecord:
    """Read a record that `rest_text` wrote, around its task.

    Raises:
        ValueError, KeyError, TypeError: `rest` was written by something else.
    """
    plain = json.loads(rest)
    values = {name: _reader(name)(value) for name, value in plain.items()}
    return TaskRecord(spec=spec, **values)


def event_text(event: TaskEvent) -> str:
    """Write a line of history."""
    fault = [] if event.fault is None else [event.fault.value]
    return json.dumps([event.at.isoformat(), event.what, event.why, *fault], separators=(",", ":"))


def event_of(text: str) -> TaskEvent:
    """Read a line that `event_text` wrote."""
    at, what, why, *fault = json.loads(text)
    found = Fault(fault[0]) if fault else None
    return TaskEvent(at=datetime.fromisoformat(at), what=what, why=why, fault=found)


_NAMES = [each.name for each in fields(TaskRecord)]
_DEFAULTS = [each.default for each in fields(TaskRecord)]
_ALL = attrgetter(*_NAMES)
_PLAIN = frozenset((str, int, bool, float, type(None)))
_TYPES = {each.name: str(each.type).partition(" |")[0] for each in fields(TaskRecord)}


def _reader(name: str) -> Callable[..., Any]:
    return READERS[_TYPES[name]]


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (Price, Spend)):
        return value.micros
    return value
