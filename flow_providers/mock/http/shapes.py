"""JSON Schemas in few words: what requests are checked against, and what our own OpenAPI document says of bodies."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]


def text(
    *,
    least: int | None = None,
    most: int | None = None,
    pattern: str | None = None,
    default: str | None = None,
) -> Schema:
    """A string."""
    return _with(
        {"type": "string"}, minLength=least, maxLength=most, pattern=pattern, default=default
    )


def fid(prefix: str) -> Schema:
    """An id; the prefix is an example and no rule, for ids are opaque."""
    return {"type": "string", "examples": [f"{prefix}_0123456789abcdef"]}


def one_of(*words: str, default: str | None = None) -> Schema:
    """One of some words."""
    return _with({"type": "string", "enum": list(words)}, default=default)


def when() -> Schema:
    """A time with its zone."""
    return {"type": "string", "format": "datetime", "examples": ["2026-01-01T00:00:00Z"]}


def whole(
    *, least: int | None = None, most: int | None = None, default: int | None = None
) -> Schema:
    """A whole number."""
    return _with({"type": "integer"}, minimum=least, maximum=most, default=default)


def flag(*, default: bool | None = None, only: bool | None = None) -> Schema:
    """Yes or no."""
    return _with({"type": "boolean"}, default=default, const=only)


def amount() -> Schema:
    """An amount of money as the service writes it."""
    return {"type": "string", "examples": ["$25.60"]}


def many(of: Schema, *, least: int | None = None, unique: bool = False) -> Schema:
    """A list."""
    return _with({"type": "array", "items": of}, minItems=least, uniqueItems=unique or None)


def maybe(shape: Schema) -> Schema:
    """The shape, or null."""
    if isinstance(shape.get("type"), str) and "enum" not in shape and "const" not in shape:
        return {**shape, "type": [shape["type"], "null"]}
    return {"anyOf": [shape, {"type": "null"}]}


def mapping(of: Schema) -> Schema:
    """An object with any names, whose values are alike."""
    return {"type": "object", "additionalProperties": of}


def record(
    fields: dict[str, Schema], *, optional: tuple[str, ...] = (), strict: bool = False
) -> Schema:
    """An object; every field that isn't `optional` must be there; `strict` takes no other."""
    shape: Schema = {
        "type": "object",
        "properties": fields,
        "required": [name for name in fields if name not in optional],
    }
    return {**shape, "additionalProperties": False} if strict else shape


def page_of(shape: Schema) -> Schema:
    """A page of a list."""
    return record({"data": many(shape), "next_cursor": maybe(text())})


def anything() -> Schema:
    """Any JSON."""
    return {}


def _with(shape: Schema, **extra: object) -> Schema:
    return {**shape, **{name: value for name, value in extra.items() if value is not None}}
