"""Checks what a client sent against the shapes it was asked for, and says every problem at its place.

Only what `shapes` can say is understood. Problems read as the service's: `loc`, `msg` and `type`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from flow_providers.mock.http.messages import Json, Refused
from flow_providers.mock.http.shapes import Schema

Place = tuple[str | int, ...]
_YES, _NO = ("true", "1", "yes", "on"), ("false", "0", "no", "off")
_LOST_PLUS = re.compile(r" ([0-9]{2}:?[0-9]{2})$")
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
#: Times that every zone and every term of ours can be added to.
_EARLIEST, _LATEST = 1971, 9000


def read_query(
    query: Sequence[tuple[str, str]],
    shapes: Mapping[str, Schema],
    *,
    required: Collection[str] = (),
) -> Json:
    """Return the parameters that `shapes` name, each as its type; absent ones by their default, or None.

    Lists may be written with commas, with repetition, or with both. The last word counts where one was expected.
    Names that nobody asked for are passed by.

    Raises:
        Refused: 422, with everything that is wrong.
    """
    problems: list[Json] = []
    found: Json = {}
    for name, full in shapes.items():
        given = [value for key, value in query if key == name]
        shape = _inner(full)
        if not given:
            found[name] = shape.get("default")
            if name in required:
                problems.append(_problem(("query", name), "this parameter is required", "missing"))
            continue
        value: Any = given[-1]
        if shape.get("type") == "array":
            value = [word for each in given for word in each.split(",") if word]
        found[name] = _checked(_from_word(value, shape), shape, ("query", name), problems)
    if problems:
        raise Refused(422, problems)
    return found


def read_body(body: bytes, shape: Schema, *, is_optional: bool = False) -> Json:
    """Return the JSON object that `body` holds, with defaults filled in; nothing counts as empty if `is_optional`.

    Raises:
        Refused: 422, with everything that is wrong.
    """
    if not body.strip() and is_optional:
        return _filled({}, shape)
    try:
        document = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Refused(422, [_problem(("body",), "the body is not JSON", "json_invalid")]) from None
    if document is None and is_optional:
        return _filled({}, shape)
    problems: list[Json] = []
    _checked(document, shape, ("body",), problems)
    if problems:
        raise Refused(422, problems)
    return _filled(document, shape)


def moment_of(value: str) -> datetime | None:
    """Return the time that `value` says, in UTC; None if it says none, or one far out of any use."""
    # A plus that nobody escaped in an address arrives as a space.
    value = _LOST_PLUS.sub(r"+\1", value.strip()).replace("Z", "+00:00").replace("z", "+00:00")
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return None
    if not _EARLIEST <= at.year <= _LATEST:
        return None
    return (at if at.tzinfo is not None else at.replace(tzinfo=timezone.utc)).astimezone(
        timezone.utc
    )


def wrong(place: Place, message: str, kind: str = "value_error") -> Refused:
    """Return the refusal of one value that has the right shape and still makes no sense."""
    return Refused(422, [_problem(place, message, kind)])


def _problem(place: Place, message: str, kind: str) -> Json:
    return {"loc": list(place), "msg": message, "type": kind}


def _no_constant(word: str) -> None:
    raise ValueError(word)


def _inner(shape: Schema) -> Schema:
    """Return a shape without its leave to be null."""
    inner = next((each for each in shape.get("anyOf", ()) if each.get("type") != "null"), shape)
    if isinstance(inner.get("type"), list):
        inner = {**inner, "type": inner["type"][0]}
    return {**inner, "default": shape["default"]} if "default" in shape else inner


def _may_be_null(shape: Schema) -> bool:
    kinds = shape.get("type")
    return (isinstance(kinds, list) and "null" in kinds) or any(
        each.get("type") == "null" for each in shape.get("anyOf", ())
    )


def _from_word(value: Any, shape: Schema) -> Any:
    kind = shape.get("type")
    if kind == "integer" and _WHOLE.fullmatch(value):
        return int(value)
    if kind == "boolean" and value.lower() in (*_YES, *_NO):
        return value.lower() in _YES
    return value


def _checked(value: Any, full: Schema, place: Place, problems: list[Json]) -> Any:
    """Note what is wrong with `value`, and return it, times as times."""
    if value is None and _may_be_null(full):
        return None
    shape = _inner(full)
    kind = shape.get("type")
    if "const" in shape and value is not shape["const"]:
        problems.append(_problem(place, f"this must be {shape['const']!r}", "literal_error"))
    elif kind == "string":
        return _string(value, shape, place, problems)
    elif kind == "integer":
        _number(value, shape, place, problems)
    elif kind == "boolean" and not isinstance(value, bool):
        problems.append(_problem(place, "this is neither true nor false", "bool_type"))
    elif kind == "array":
        _list(value, shape, place, problems)
    elif kind == "object":
        _object(value, shape, place, problems)
    return value


def _string(value: Any, shape: Schema, place: Place, problems: list[Json]) -> Any:
    if not isinstance(value, str):
        problems.append(_problem(place, "this is no text", "string_type"))
        return value
    if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
        problems.append(_problem(place, "half a character is no text", "string_unicode"))
    elif "enum" in shape and value not in shape["enum"]:
        known = ", ".join(shape["enum"])
        problems.append(_problem(place, f"this must be one of: {known}", "enum"))
    elif len(value) < shape.get("minLength", 0):
        problems.append(_problem(place, "this is too short", "string_too_short"))
    elif len(value) > shape.get("maxLength", len(value)):
        longest = shape["maxLength"]
        problems.append(
            _problem(place, f"this is longer than {longest} letters", "string_too_long")
        )
    elif "pattern" in shape and not re.search(shape["pattern"], value):
        problems.append(
            _problem(place, f"this does not match {shape['pattern']}", "string_pattern_mismatch")
        )
    elif shape.get("format") == "datetime":
        at = moment_of(value)
        if at is None:
            problems.append(
                _problem(place, "this is no time in ISO 8601, or out of reach", "datetime_parsing")
            )
        return at
    return value


def _number(value: Any, shape: Schema, place: Place, problems: list[Json]) -> None:
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if not is_whole and not (isinstance(value, float) and value.is_integer()):
        problems.append(_problem(place, "this is no whole number", "int_type"))
    elif value < shape.get("minimum", value):
        problems.append(
            _problem(place, f"this is less than {shape['minimum']}", "greater_than_equal")
        )
    elif value > shape.get("maximum", value):
        problems.append(_problem(place, f"this is more than {shape['maximum']}", "less_than_equal"))


def _list(value: Any, shape: Schema, place: Place, problems: list[Json]) -> None:
    if not isinstance(value, list):
        problems.append(_problem(place, "this is no list", "list_type"))
        return
    if len(value) < shape.get("minItems", 0):
        problems.append(_problem(place, f"there must be {shape['minItems']} at least", "too_short"))
    for number, each in enumerate(value):
        _checked(each, shape["items"], (*place, number), problems)
    words = [each for each in value if isinstance(each, str)]
    if shape.get("uniqueItems") and len(set(words)) < len(words):
        problems.append(_problem(place, "something is in it twice", "unique"))


def _object(value: Any, shape: Schema, place: Place, problems: list[Json]) -> None:
    if not isinstance(value, dict):
        problems.append(_problem(place, "this is no object", "model_type"))
        return
    fields = shape.get("properties", {})
    for name in shape.get("required", ()):
        if name not in value:
            problems.append(_problem((*place, name), "this field is required", "missing"))
    for name, each in value.items():
        if name in fields:
            _checked(each, fields[name], (*place, name), problems)
        elif shape.get("additionalProperties") is False:
            problems.append(
                _problem((*place, str(name)), "nobody asked for this", "extra_forbidden")
            )


def _filled(document: Json, full: Schema) -> Json:
    """Return a checked object with absent fields by their defaults, whole numbers as such, and times as times."""
    found: Json = {}
    for name, field in _inner(full).get("properties", {}).items():
        value, shape = document.get(name, field.get("default")), _inner(field)
        if isinstance(value, dict):
            value = _filled(value, shape)
        elif isinstance(value, float) and shape.get("type") == "integer":
            value = int(value)
        elif isinstance(value, str) and shape.get("format") == "datetime":
            value = moment_of(value)
        found[name] = value
    return found
