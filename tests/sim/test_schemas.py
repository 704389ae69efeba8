"""No input that schemathesis thinks of makes the simulator fall over, or answer what its document doesn't say.

Driven by our own document always, and by the service's where it lies beside the checkout.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from flow_providers.mock.http.document import document
from flow_providers.mock.http.table import ROUTES
from tests.house import tree
from tests.sim.clients import REGION, Sim, market

SERVICES = Path(tree.ROOT) / ".." / "shared" / "mithril" / "openapi.json"
EXAMPLES = 25
TRIED = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
SHAPES = [content_type_conformance, response_schema_conformance]
STATUSES = [status_code_conformance]

pytestmark = pytest.mark.slow


def nullable(shape: Any) -> Any:
    """The same schema with OpenAPI 3.0's word for null in 3.1's: the service's document mixes the two."""
    if isinstance(shape, list):
        return [nullable(each) for each in shape]
    if not isinstance(shape, dict):
        return shape
    told = {key: nullable(each) for key, each in shape.items() if key != "nullable"}
    return {"anyOf": [told, {"type": "null"}]} if shape.get("nullable") is True else told


def of_the_service() -> dict[str, Any]:
    """The service's document, mended where it can't be read or contradicts its own prose (contract, gotchas)."""
    raw = nullable(json.loads(SERVICES.read_text("utf-8")))
    size = raw["components"]["schemas"]["CreateVolumeRequest"]["properties"]["size_gb"]
    for word in ("gt", "lt"):
        size.pop(word, None)
    # Three modes answer in three shapes, of which the document declares one.
    times = raw["paths"]["/v2/reservation/availability"]["get"]["responses"]["200"]
    content = times["content"]["application/json"]
    shapes = ("GetLatestEndTimeResponse", "CheckAvailabilityResponse")
    others = [{"$ref": f"#/components/schemas/{name}"} for name in shapes]
    content["schema"] = {"anyOf": [content["schema"], *others]}
    return raw


class Inhabited:
    """A simulator with one of everything, whose ids stand in for the inventions of whoever asks."""

    def __init__(self) -> None:
        self.sim = Sim(market(40))
        sim = self.sim
        self.bid = sim.bid("first", "$5.00", quantity=2)["fid"]
        self.spare = sim.bid("second", "$5.00")["fid"]
        sim.clock.advance(minutes=3)
        start, end = "2026-01-01T00:03:00Z", "2026-01-10T00:03:00Z"
        reserved = {
            **sim.bid_body("third", "$5.00"), "start_time": start, "end_time": end,
        }  # fmt: skip
        reservation = sim.ask("POST", "/v2/reservation", 201, json=reserved)
        cluster = {
            "name": "k", "project": sim.project, "region": REGION, "ssh_keys": [sim.key],
            "instance_type": sim.type_id,
        }  # fmt: skip
        script = {"project": sim.project, "name": "s", "content": "true"}
        self.ids = {
            "project": sim.project, "instance_type": sim.type_id, "region": REGION,
            "bid_fid": self.bid, "reservation_fid": reservation["fid"],
            "instance_fid": reservation["instances"][0],
            "volume_fid": sim.volume("data")["fid"], "ssh_key_fid": sim.key,
            "ls_fid": sim.ask("POST", "/v2/lifecycle-scripts", 201, json=script)["fid"],
            "cluster_fid": sim.ask("POST", "/v2/kubernetes/clusters", 201, json=cluster)["fid"],
            "key_fid": "apikey_never",
        }  # fmt: skip

    def send(self, case: Any, *, real: bool) -> httpx.Response:
        """Send a case; with `real`, ids that exist in place of invented ones."""
        if real:
            for place in (case.path_parameters, case.query, case.body):
                if isinstance(place, dict):
                    place.update({name: self.ids[name] for name in place if name in self.ids})
        kwargs = case.as_transport_kwargs(base_url="http://127.0.0.1:8080")
        headers = {
            name: value.decode("latin-1") if isinstance(value, bytes) else value
            for name, value in dict(kwargs.get("headers") or {}).items()
        }
        headers = {
            name: value.encode("latin-1", "replace").decode("latin-1").strip()
            for name, value in headers.items()
            if name.lower() not in ("authorization", "content-length", "host")
        }
        known = ("params", "json", "data")
        extra = {name: kwargs[name] for name in known if kwargs.get(name) is not None}
        if isinstance(extra.get("data"), bytes | str):
            extra["content"] = extra.pop("data")
        return self.sim.http.request(kwargs["method"], kwargs["url"], headers=headers, **extra)


OURS = schemathesis.openapi.from_dict(document())
HERE = Inhabited()


def check(case: Any, response: httpx.Response, checks: list[Any]) -> None:
    """No reply is a fault, and each has the declared shape; 501 is a documented refusal."""
    assert response.status_code < 500 or response.status_code == 501, response.text
    if response.status_code < 400:
        case.validate_response(response, checks=checks)


@OURS.parametrize()
@TRIED
def test_our_own_document(case):
    """Invented ids: every reply is of a declared status and of its declared shape."""
    response = HERE.send(case, real=False)

    check(case, response, [*SHAPES, *STATUSES])
    case.validate_response(response, checks=[*SHAPES, *STATUSES])


@OURS.parametrize()
@TRIED
def test_our_own_document_with_things_that_are_there(case):
    """Real ids: the same, past the questions of whether the things exist."""
    response = HERE.send(case, real=True)

    check(case, response, [*SHAPES, *STATUSES])
    case.validate_response(response, checks=[*SHAPES, *STATUSES])


if SERVICES.exists():
    THEIRS = schemathesis.openapi.from_dict(of_the_service())

    @THEIRS.parametrize()
    @TRIED
    def test_the_services_document(case):
        """What the service's own document would send is answered in its shapes; it omits most refusals."""
        check(case, HERE.send(case, real=True), SHAPES)


@pytest.mark.skipif(not SERVICES.exists(), reason="the service's document isn't here")
def test_every_operation_of_the_services_document_is_served():
    """No path or method of the service's document is missing, and what goes beyond it is marked so."""
    theirs = {
        (method.upper(), path)
        for path, methods in json.loads(SERVICES.read_text("utf-8"))["paths"].items()
        for method in methods
    }
    served = {(route.method, route.path): route.beyond for route in ROUTES}

    assert set() == theirs - set(served)
    assert {name for name in served if name not in theirs} == {
        name for name, beyond in served.items() if beyond
    }
