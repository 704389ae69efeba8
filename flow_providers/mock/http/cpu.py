"""Machines without GPUs at a fixed price, without an auction: calls that newer clients make.

Each is held by a reservation that is never listed and has no end.
"""

from __future__ import annotations

from datetime import timedelta

from flow_core.domain.allocation import NodeState
from flow_providers.mock.estate import reserving, terms
from flow_providers.mock.estate.rows import ReservationRow
from flow_providers.mock.http import models
from flow_providers.mock.http.calls import Call, Route
from flow_providers.mock.http.catalog import one_each, region_document, type_document
from flow_providers.mock.http.holdings import Held, document, instance
from flow_providers.mock.http.launching import attachments, image_id, ssh_keys
from flow_providers.mock.http.messages import Refused, Response, created, nothing, ok
from flow_providers.mock.http.shapes import many
from flow_providers.mock.prices import TYPES
from flow_providers.mock.rows import LaunchRow, MarketRow

PATH = "/v2/cpu/instances"
_FOR_EVER = timedelta(days=36_500)


def list_types(call: Call) -> Response:
    """Return the types without GPUs, with their price an hour in dollars, that of the first region."""
    return ok(
        [
            {**type_document(market), "hourly_price": market.base.micros / 1_000_000}
            for market in one_each(_markets(call))
        ]
    )


def list_regions(call: Call) -> Response:
    """Return the regions that have such machines."""
    return ok([region_document(market.region) for market in _markets(call)])


def create_instance(call: Call) -> Response:
    """Start a machine, and return it."""
    asked = call.body
    project = call.project(asked["project"])
    market = call.market(asked["instance_type"], asked["region"])
    if TYPES[market.type_name].shape.gpus:
        raise Refused(400, f"Instance type {asked['instance_type']} is not a CPU type")
    found = attachments(
        call, asked["volumes"] or (), project=project, region=market.region, quantity=1
    )
    keys = ssh_keys(call, asked["ssh_keys"] or (), project=project)
    image = image_id(call, asked["image_version"])
    row = reserving.create(
        call.world, call.rules, call.now, market=market, name=asked["name"], owner=call.me.id,
        project=project, quantity=1, start=call.now, end=call.now + _FOR_EVER,
        volumes=tuple(each.volume_id for each in found), price=market.base, hidden=True,
    )  # fmt: skip
    call.world.launches.put(
        LaunchRow(id=row.id, script="", image=image, keys=keys, attachments=found)
    )
    [node] = call.world.nodes.in_group(row.id)
    return created(document(call, Held(node, row)))


def delete_instance(call: Call) -> Response:
    """End a machine for good."""
    held = instance(call, call.path["instance_fid"])
    owner = held.owner
    if not isinstance(owner, ReservationRow) or not owner.hidden:
        raise Refused(404, f"CPU instance {held.node.id} not found")
    if held.node.state is not NodeState.GONE:
        terms.end(call.world, owner, call.now)
    return nothing()


def _markets(call: Call) -> list[MarketRow]:
    return [each for each in call.world.markets.live() if not TYPES[each.type_name].shape.gpus]


ROUTES = (
    Route(
        method="GET", path="/v2/cpu/instance-types", summary="List CPU types.", answer=list_types,
        replies={200: many(models.CPU_TYPE)}, beyond=True,
    ),
    Route(
        method="GET", path="/v2/cpu/regions", summary="List regions with CPU instances.",
        answer=list_regions, replies={200: many(models.REGION)}, beyond=True,
    ),
    Route(
        method="POST", path=PATH, summary="Start a CPU instance.", answer=create_instance, changes=True,
        is_create=True, body=models.CPU_ASKED, replies={201: models.INSTANCE}, errors=(400, 404, 409),
        beyond=True,
    ),
    Route(
        method="DELETE", path=PATH + "/{instance_fid}", summary="End a CPU instance.",
        answer=delete_instance, changes=True, replies={204: None}, errors=(404,), beyond=True,
    ),
)  # fmt: skip
