"""Rows as JSON and back: by the annotations of their fields, each of a kind known here."""

from __future__ import annotations

import enum
import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from functools import cache
from typing import Any

import attrs

from flow_core.domain.allocation import NodeState
from flow_core.domain.bid import BidState
from flow_core.domain.money import Price
from flow_core.domain.volume import Attachment, Interface
from flow_providers.mock.estate.rows import KINDS as ESTATE_KINDS
from flow_providers.mock.rows import KINDS as MARKET_KINDS
from flow_providers.mock.rows import Row

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)
Read = Callable[[Any], Any]
KINDS = {**MARKET_KINDS, **ESTATE_KINDS}


def encode(kind: str, row: Row) -> str:
    """Return a row of that kind as JSON."""
    return json.dumps(
        {name: _plain(getattr(row, name)) for name, _ in _fields(kind)}, separators=(",", ":")
    )


def decode(kind: str, text: str) -> Row:
    """Return the row of that kind that `text` holds; fields that it lacks have their defaults."""
    cls, raw = KINDS[kind], json.loads(text)
    return cls(**{name: read(raw[name]) for name, read in _fields(kind) if name in raw})


def moment(micros: int) -> datetime:
    """Return the time so many microseconds after 1970."""
    return _EPOCH + timedelta(microseconds=micros)


def micros(at: datetime) -> int:
    """Return how many microseconds after 1970 `at` lies."""
    return (at - _EPOCH) // _MICROSECOND


@cache
def _fields(kind: str) -> tuple[tuple[str, Read], ...]:
    fields: tuple[attrs.Attribute[Any], ...] = attrs.fields(KINDS[kind])  # type: ignore[arg-type]
    return tuple((each.name, _READERS[str(each.type).removesuffix(" | None")]) for each in fields)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return micros(value)
    if isinstance(value, Price):
        return value.micros
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Attachment):
        return [value.volume_id, value.path, value.read_only, value.name]
    return value


def _or_none(read: Read) -> Read:
    return lambda raw: None if raw is None else read(raw)


def _same(raw: Any) -> Any:
    return raw


def _attachments(raw: list[Any]) -> tuple[Attachment, ...]:
    return tuple(Attachment(volume_id=a, path=b, read_only=c, name=d) for a, b, c, d in raw)


_READERS: dict[str, Read] = {
    "str": _same,
    "int": _same,
    "float": _same,
    "bool": _same,
    "datetime": _or_none(moment),
    "Price": _or_none(Price),
    "BidState": BidState,
    "NodeState": NodeState,
    "Interface": Interface,
    "tuple[str, ...]": tuple,
    "tuple[Attachment, ...]": _attachments,
}
