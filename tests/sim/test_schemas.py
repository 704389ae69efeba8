"""No input that schemathesis thinks of makes the simulator fall over, or answer what its document doesn't say.

Driven by our own document always, and by the service's where it lies beside the checkout.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from schemathesis.core.transport import Response
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
EXAMPLES = 20
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
        bid = sim.bid("first", "$5.00", quantity=2)["fid"]
        sim.clock.advance(minutes=3)
        term = {"start_time": "2026-01-01T00:03:00Z", "end_time": "2026-01-09T00:03:00Z"}
        asked = sim.bid_body("second", "$5.00")
        reservation = sim.ask("POST", "/v2/reservation", 201, json={**asked, **term})
        cluster = {
            "name": "k", "project": sim.project, "region": REGION, "ssh_keys": [sim.key],
            "instance_type": sim.type_id,
        }  # fmt: skip
        script = {"project": sim.project, "name": "s", "content": "true"}
        volume = sim.volume("data")["fid"]
        self.around = {
            "project": sim.project, "instance_type": sim.type_id, "region": REGION,
            "limit_price": "$5.00",
            "launch_specification": {"volumes": [volume], "ssh_keys": [sim.key]},
        }  # fmt: skip
        self.things = {
            **term, "bid_fid": bid, "reservation_fid": reservation["fid"],
            "instance_fid": reservation["instances"][0], "volume_fid": volume,
            "ssh_key_fid": sim.key,
            "ls_fid": sim.ask("POST", "/v2/lifecycle-scripts", 201, json=script)["fid"],
            "cluster_fid": sim.ask("POST", "/v2/kubernetes/clusters", 201, json=cluster)["fid"],
            "instances": reservation["instances"], "ssh_keys": [sim.key],
        }  # fmt: skip
        self.changes = sim.service.engine.changes

    @property
    def is_new(self) -> bool:
        """Whether nobody has changed anything in it yet."""
        return self.changes == self.sim.service.engine.changes

    def send(self, case: Any, known: Mapping[str, Any]) -> httpx.Response:
        """Send a case, with what is `known` by its name in place of what was invented."""
        for place in (case.path_parameters, case.query, case.body):
            if isinstance(place, dict):
                place.update({name: known[name] for name in place if name in known})
        kwargs = case.as_transport_kwargs(base_url="http://127.0.0.1:8080")
        headers = {
            str(name): _text(value)
            for name, value in dict(kwargs.get("headers") or {}).items()
            if str(name).lower() not in ("authorization", "content-length", "host")
        }
        words = ("params", "json", "data")
        extra = {name: kwargs[name] for name in words if kwargs.get(name) is not None}
        if isinstance(extra.get("data"), bytes | str):
            extra["content"] = extra.pop("data")
        return self.sim.http.request(kwargs["method"], kwargs["url"], headers=headers, **extra)


def _text(value: str | bytes) -> str:
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    return text.encode("latin-1", "replace").decode("latin-1").strip()


OURS = schemathesis.openapi.from_dict(document())
HERE = Inhabited()
LAST = [Inhabited()]


def untouched() -> Inhabited:
    """A world in which nothing has happened; the last one, where all that was sent to it was refused or only asked."""
    LAST[:] = [each for each in LAST if each.is_new] or [Inhabited()]
    return LAST[0]


def check(case: Any, response: Any, checks: list[Any]) -> None:
    """A reply is no fault and is what the document says; 501 is a documented refusal."""
    assert response.status_code < 500 or response.status_code == 501, response.text
    case.validate_response(response, checks=checks)


@OURS.parametrize()
@TRIED
def test_our_own_document(case):
    """Every reply is of a declared status and shape: to invented ids, and then to real ones, with prices and terms.

    Those are sent to an untouched world, past the question of whether things exist. Making a case up takes longer than
    answering it, so each is sent to both.
    """
    check(case, HERE.send(case, {}), [*SHAPES, *STATUSES])
    world = untouched()
    check(case, world.send(case, {**world.around, **world.things}), [*SHAPES, *STATUSES])


def test_our_own_document_step_by_step():
    """What one reply names, the next request asks about, changes and ends: no order of calls breaks a promise."""

    class Workflow(OURS.as_state_machine()):  # type: ignore[misc]
        def setup(self) -> None:
            self.world = untouched()

        def call(self, case: Any, **_: Any) -> Any:
            self.world.sim.clock.advance(seconds=45)
            return Response.from_any(self.world.send(case, self.world.around))

        def validate_response(self, response: Any, case: Any, *_: Any, **__: Any) -> None:
            check(case, response, [*SHAPES, *STATUSES])

    run_state_machine_as_test(
        Workflow, settings=settings(TRIED, max_examples=40, stateful_step_count=12)
    )


if SERVICES.exists():
    THEIRS = schemathesis.openapi.from_dict(of_the_service())

    @THEIRS.parametrize()
    @TRIED
    def test_the_services_document(case):
        """What the service's own document would send is answered in its shapes; it omits most refusals."""
        world = untouched()
        response = world.send(case, {**world.around, **world.things})

        check(case, response, SHAPES if response.status_code < 400 else [content_type_conformance])


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
