"""The recorded example bodies, which the adapter must read, are bodies that the simulator's own document declares.

Each side reads the service's documents by itself; what is recorded of those is where the two readings can be compared.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from flow_providers.mock.http.document import document
from tests.house import tree

BODIES = tree.ROOT / "tests" / "mithril" / "bodies"
BID, TERM, INSTANCE = "{bid_fid}", "{reservation_fid}", "{instance_fid}"
#: example -> the request that it answers, with the status where that isn't 200.
ANSWERS = {
    "availability": "GET /v2/spot/availability",
    "bid": f"GET /v2/spot/bids/{BID}",
    "bid_status": f"GET /v2/spot/bids/{BID}/status",
    "bids_page": "GET /v2/spot/bids",
    "created_ssh_key": "POST /v2/ssh-keys 201",
    "current_prices": "GET /v2/pricing/current",
    "extension": f"GET /v2/reservation/{TERM}/extension-availability",
    "image_versions": "GET /v2/image-versions",
    "instance_status": f"GET /v2/instances/{INSTANCE}/status",
    "instance_types": "GET /v2/instance-types",
    "instances_page": "GET /v2/instances",
    "me": "GET /v2/me",
    "price_history": "GET /v2/pricing/history",
    "pricing_history": "GET /v2/instances/pricing/history",
    "projects": "GET /v2/projects",
    "quotas": "GET /v2/quotas",
    "reservation": "POST /v2/reservation 201",
    "reservation_quote": "GET /v2/reservation/quote",
    "reservations_page": "GET /v2/reservation",
    "ssh_keys": "GET /v2/ssh-keys",
    "status_history": "GET /v2/instances/status/history",
    "teammates": "GET /v2/me/teammates",
    "validation_error": "POST /v2/spot/bids 422",
    "volumes": "GET /v2/volumes",
}


def test_every_example_is_compared():
    """No recorded body is left out, and none is named that isn't there."""
    assert set(ANSWERS) == {path.stem for path in BODIES.glob("*.json")}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_example_is_what_the_simulator_declares(name: str):
    """The body is right by the simulator's schema of that answer, once what may be null or absent is null."""
    method, path, *status = ANSWERS[name].split()
    told = document()
    answer = told["paths"][path][method.lower()]["responses"][status[0] if status else "200"]
    shape = answer["content"]["application/json"]["schema"]
    example = json.loads((Path(BODIES) / f"{name}.json").read_text("utf-8"))["body"]

    for item in example if isinstance(example, list) else []:
        fields = resolved(shape["items"], told)["properties"]
        nullable = [field for field in fields if "null" in str(fields[field].get("type"))]
        item.update({field: None for field in nullable if field not in item})

    jsonschema.validate(example, {**shape, "components": told["components"]})


def resolved(shape: dict[str, Any], told: dict[str, Any]) -> dict[str, Any]:
    """A schema, where it is named elsewhere in the document."""
    name = shape.get("$ref", "").rpartition("/")[2]
    return told["components"]["schemas"][name] if name else shape
