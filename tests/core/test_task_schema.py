"""The published schema of a task: up to date, and true of every task."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from attrs import fields
from hypothesis import given

from flow_core.domain.task import TaskSpec
from flow_core.domain.task_form import KEYS, task_from_mapping, task_to_mapping
from flow_core.domain.task_schema import task_schema
from tests import strategies

PUBLISHED = Path(__file__).resolve().parents[2] / "docs" / "reference" / "task.schema.json"
SCHEMA = task_schema()
JUDGE = jsonschema.Draft202012Validator(SCHEMA)


def as_published() -> str:
    """The text of the schema's file."""
    return json.dumps(SCHEMA, indent=2, ensure_ascii=False) + "\n"


def test_the_published_schema_is_up_to_date():
    """docs/reference/task.schema.json is what the code says; `make docs` writes it."""
    assert as_published() == PUBLISHED.read_text("utf-8")


def test_the_schema_is_one():
    """It is valid in its own dialect."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@given(strategies.task_specs)
def test_every_task_validates(spec):
    """The plain form of any task is accepted."""
    assert [] == list(JUDGE.iter_errors(json.loads(json.dumps(task_to_mapping(spec)))))


def test_every_key_is_described():
    """Each key that is read has a sentence and an example, and each example is one."""
    assert set(KEYS) == set(SCHEMA["properties"])
    assert set(KEYS.values()) == {each.name for each in fields(TaskSpec)}
    for key, said in SCHEMA["properties"].items():
        task = {"command": "true", key: said["examples"][0]}
        if key == "max_price_per_gpu_hour":
            task["gpu"] = "8xh100"

        assert said["description"].endswith(".")
        assert [] == list(JUDGE.iter_errors(task)), key
        task_from_mapping(task)


@pytest.mark.parametrize(
    "task",
    [
        {},
        {"command": ""},
        {"command": []},
        {"command": "x", "enviroment": {}},
        {"command": "x", "num_instances": 0},
        {"command": "x", "num_instances": "many"},
        {"command": "x", "env": {"A": True}},
        {"command": "x", "env": ["A"]},
        {"command": "x", "mounts": {"data": "volume://x"}},
        {"command": "x", "mounts": [{"path": "/data"}]},
        {"command": "x", "keep": "perhaps"},
        {"command": "x", "run_on": "moon"},
        {"command": "x", "max_price_per_hour": -1},
        {"command": "x", "max_price_per_hour": 1, "max_price_per_gpu_hour": 1, "gpu": "a100"},
        {"command": "x", "max_price_per_gpu_hour": 1},
        {"command": "x", "gpu": "a100", "instance_type": "a100"},
        {"command": "x", "after": ["sometime:a"]},
    ],
)
def test_what_is_no_task_does_not_validate(task):
    """Mistakes that a schema can know are refused by it, and by reading as well."""
    assert [] != list(JUDGE.iter_errors(task))
    with pytest.raises(Exception, match=r".") as caught:
        task_from_mapping(task)

    assert "invalid-request" == caught.value.kind
