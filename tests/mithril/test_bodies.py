"""The example bodies say what Mithril's documents say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.house import tree
from tests.mithril.desk import BODIES
from tests.mithril.notes import schema

#: The service's own document, which is not ours to ship; beside the repository where someone has it.
OPENAPI = tree.ROOT.parent / "shared" / "mithril" / "openapi.json"
FILES = sorted(BODIES.glob("*.json"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_example_agrees_with_our_notes(path: Path):
    """Each example names its source, and has the fields that our notes on its kind list, and no others."""
    example = json.loads(path.read_text())
    name = example["schema"]

    assert example["source"]
    for item in example["body"] if name.startswith("[") else [example["body"]]:
        jsonschema.validate(item, schema(name.strip("[]")))


@pytest.mark.skipif(not OPENAPI.exists(), reason="the service's OpenAPI document is not at hand")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_example_agrees_with_the_service_s_document(path: Path):
    """Each example is what the service's own OpenAPI document declares."""
    example = json.loads(path.read_text())
    name = example["schema"]
    document = with_nulls(json.loads(OPENAPI.read_text()))
    one = {"$ref": f"#/components/schemas/{name.strip('[]')}"}
    wanted = {"type": "array", "items": one} if name.startswith("[") else one

    jsonschema.validate(example["body"], {**wanted, "components": document["components"]})


def with_nulls(node: Any) -> Any:
    """OpenAPI 3.0 as JSON schema: what is nullable may be null."""
    if isinstance(node, list):
        return [with_nulls(each) for each in node]
    if not isinstance(node, dict):
        return node
    made = {key: with_nulls(value) for key, value in node.items() if key != "nullable"}
    return {"anyOf": [made, {"type": "null"}]} if node.get("nullable") is True else made
