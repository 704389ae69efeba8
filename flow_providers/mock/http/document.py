"""The simulator's own OpenAPI document, from the table that serves it: it can't say what isn't so."""

from __future__ import annotations

from functools import cache
from typing import Any

from flow_providers.mock.http import models
from flow_providers.mock.http.calls import Route
from flow_providers.mock.http.shapes import Schema, anything, many, record, text
from flow_providers.mock.http.table import ROUTES

TITLE = "Flow's simulator of the Mithril API"
#: What any operation may answer besides its own replies.
COMMON = (401, 422, 429, 503)
_WORDS = {
    200: "As asked.",
    201: "Made.",
    202: "Begun.",
    204: "Gone.",
    400: "What was asked for can't be had.",
    401: "The API key is missing, unknown, revoked or out of date.",
    403: "Not allowed to whoever asks.",
    404: "There is no such thing for whoever asks.",
    409: "Its present state, or something else's name, does not allow it.",
    422: "The request isn't of the right shape.",
    429: "Too many requests; the header says when to come again.",
    501: "Not offered for instances of this kind.",
    503: "No answer; whether the request took effect is open.",
}
_ONE_SENTENCE = record({"detail": text()})
_PROBLEM = record(
    {"loc": many({"anyOf": [{"type": "string"}, {"type": "integer"}]}), "msg": text(), "type": text()}
)  # fmt: skip
_PROBLEMS = record(
    {"detail": {"anyOf": [many(_PROBLEM), text()]}, "reason": text()}, optional=("reason",)
)


def document() -> dict[str, Any]:
    """Return the document."""
    paths: dict[str, dict[str, Any]] = {}
    for route in sorted(ROUTES, key=lambda each: (each.path, each.method)):
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "version": "1.0.0"},
        "servers": [{"url": "http://127.0.0.1:8080"}],
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "schemas": {name: _inside(shape) for name, shape in _named().values()},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    found: dict[str, Any] = {"operationId": route.name, "summary": route.summary}
    if route.beyond:
        found["description"] = "Newer clients call this; the service's own document lacks it."
    parameters = [
        _parameter(part.strip("{}"), "path", text(), is_required=True)
        for part in route.parts
        if part.startswith("{")
    ]
    parameters += [
        _parameter(name, "query", shape, is_required=name in route.required)
        for name, shape in route.query.items()
    ]
    if parameters:
        found["parameters"] = parameters
    if route.body is not None:
        found["requestBody"] = {
            "required": not route.body_is_optional,
            "content": _json(route.body),
        }
    replies: dict[int, Schema | None] = {**route.replies}
    for status in (*route.errors, *COMMON):
        replies[status] = _PROBLEMS if status == 422 else _ONE_SENTENCE
    found["responses"] = {
        str(status): {"description": _WORDS[status]}
        | ({"content": _json(shape)} if shape is not None else {})
        for status, shape in sorted(replies.items())
    }
    return found


def _parameter(name: str, where: str, shape: Schema, *, is_required: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"name": name, "in": where, "required": is_required, "schema": shape}
    if shape.get("type") == "array":
        found |= {"style": "form", "explode": False}
    return found


def _json(shape: Schema) -> dict[str, Any]:
    return {"application/json": {"schema": _told(shape or anything())}}


@cache
def _named() -> dict[int, tuple[str, Schema]]:
    """Return the shapes that `models` names, by identity, each with its name here."""
    shapes = {**vars(models), "ONE_SENTENCE": _ONE_SENTENCE, "PROBLEMS": _PROBLEMS}
    return {
        id(shape): ("".join(word.title() for word in name.split("_")), shape)
        for name, shape in shapes.items()
        if name.isupper() and isinstance(shape, dict) and "properties" in shape
    }


def _told(shape: Any) -> Any:
    """Return a shape as the document tells it: by reference where it has a name."""
    named = _named().get(id(shape))
    return {"$ref": f"#/components/schemas/{named[0]}"} if named is not None else _inside(shape)


def _inside(shape: Any) -> Any:
    if isinstance(shape, dict):
        return {key: _told(each) for key, each in shape.items()}
    return [_told(each) for each in shape] if isinstance(shape, list) else shape
