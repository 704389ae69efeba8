"""The JSON Schema of a task's raw form, made from the fields of TaskSpec and what they say of themselves.

Every task's plain form validates. Not all that validates is a task: a schema can't know every rule, and reading says
the rest in sentences.
"""

from __future__ import annotations

from typing import Any

from attrs import fields

from flow_core.domain.names import LONGEST_NAME
from flow_core.domain.task import TaskSpec
from flow_core.domain.task_form import KEYS
from flow_core.domain.task_parts import Condition, Guard, Keeper, RunOn
from flow_core.domain.task_rules import MAX_INSTANCES, MAX_RETRIES

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_TEXT = {"type": "string", "minLength": 1}
_TEXT_OR_NUMBER = {"type": ["string", "number"]}
_MONEY = {
    "oneOf": [
        {"type": "number", "minimum": 0},
        {"type": "string", "pattern": r"^\s*\$?\s*[0-9.,]+\s*$"},
    ]
}
_VARIABLES = {
    "oneOf": [
        {"type": "object", "additionalProperties": _TEXT_OR_NUMBER},
        {"type": "array", "items": {"type": "string", "pattern": "="}},
    ]
}
_MOUNT = {
    "type": "object",
    "properties": {
        "path": {"type": "string", "pattern": "^/"},
        "source": _TEXT,
        "read_only": {"type": "boolean"},
    },
    "required": ["path", "source"],
    "additionalProperties": False,
}
_MOUNTED = {
    "type": "object",
    "properties": {"source": _TEXT, "read_only": {"type": "boolean"}},
    "required": ["source"],
    "additionalProperties": False,
}
_DEPENDENCY = {
    "type": "string",
    "pattern": "^(("
    + "|".join(f"after{each.value}" for each in Condition)
    + r"):)?[A-Za-z0-9][A-Za-z0-9._\-=,+@/]*$",
}
_SECRET = {
    "type": "string",
    "pattern": "^[A-Za-z_][A-Za-z0-9_]*(=(" + "|".join(each.value for each in Keeper) + "))?$",
}
_DURATION = {
    "oneOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "string", "pattern": "[0-9]"}]
}

#: field of TaskSpec -> what its raw form may be.
_FORMS: dict[str, dict[str, Any]] = {
    "command": {"oneOf": [_TEXT, {"type": "array", "items": _TEXT_OR_NUMBER, "minItems": 1}]},
    "name": {"type": "string", "minLength": 1, "maxLength": LONGEST_NAME},
    "instance_type": _TEXT,
    "num_instances": {"type": "integer", "minimum": 1, "maximum": MAX_INSTANCES},
    "max_price": _MONEY,
    "bid_policy": _TEXT_OR_NUMBER,
    "region": _TEXT,
    "image": _TEXT,
    "env": _VARIABLES,
    "mounts": {
        "oneOf": [
            {
                "type": "object",
                "propertyNames": {"pattern": "^/"},
                "additionalProperties": {"oneOf": [_TEXT, _MOUNTED]},
            },
            {"type": "array", "items": {"oneOf": [_MOUNT, {"type": "string", "pattern": ":/"}]}},
        ]
    },
    "working_dir": _TEXT,
    "code": _TEXT,
    "run_on": {"enum": [each.value for each in RunOn]},
    "keep": {"type": "boolean"},
    "max_run_time": _DURATION,
    "idle_timeout": _DURATION,
    "secrets": {"oneOf": [_SECRET, {"type": "array", "items": _SECRET}, {"type": "object"}]},
    "environment": _TEXT,
    "guard": {"enum": [each.value for each in Guard]},
    "retries": {"type": "integer", "minimum": 0, "maximum": MAX_RETRIES},
    "recovery": {"type": "string", "pattern": "^(wait|(move|raise)(:.*[0-9].*)?)$"},
    "checkpoint": _TEXT,
    "notice_signal": _TEXT,
    "max_spend": _MONEY,
    "reservation": _TEXT,
    "after": {"oneOf": [_DEPENDENCY, {"type": "array", "items": _DEPENDENCY}]},
    "options": {
        "oneOf": [
            {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}},
            {"type": "array", "items": {"type": "string", "pattern": "="}},
        ]
    },
}
#: What keys that share a field say of themselves.
_OTHERS = {
    "max_price": ("Another spelling of max_price_per_hour.", 12.29),
    "max_price_per_gpu_hour": (
        "The most to pay, in dollars per GPU-hour; needs an instance type.",
        1.5,
    ),
    "gpu": ("Another spelling of instance_type; a GPU alone means one of it.", "a100"),
}


def task_schema() -> dict[str, Any]:
    """Return the schema, in draft 2020-12."""
    said = {each.name: each.metadata for each in fields(TaskSpec)}
    properties = {}
    for key, name in KEYS.items():
        doc, example = _OTHERS.get(key, (said[name]["doc"], said[name]["example"]))
        properties[key] = {"description": doc, **_FORMS[name], "examples": [example]}
    prices = [key for key, name in KEYS.items() if name == "max_price"]
    return {
        "$schema": DIALECT,
        "title": "A task for Flow",
        "description": "What to run, on what, for at most how much.",
        "type": "object",
        "properties": properties,
        "required": ["command"],
        "additionalProperties": False,
        "allOf": [
            _at_most_one(prices),
            _at_most_one(["instance_type", "gpu"]),
            {
                "if": {"required": ["max_price_per_gpu_hour"]},
                "then": {"anyOf": [{"required": ["instance_type"]}, {"required": ["gpu"]}]},
            },
        ],
    }


def _at_most_one(keys: list[str]) -> dict[str, Any]:
    pairs = [[one, other] for place, one in enumerate(keys) for other in keys[place + 1 :]]
    return {"not": {"anyOf": [{"required": pair} for pair in pairs]}}
