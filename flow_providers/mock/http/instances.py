"""Instances: listed, their status, and what only reserved ones allow: stopping, starting, a new boot disk."""

from __future__ import annotations

from attrs import evolve

from flow_core.domain.allocation import NodeState
from flow_providers.mock.estate import reserving, terms
from flow_providers.mock.estate.events import status_of
from flow_providers.mock.estate.rows import ReservationRow
from flow_providers.mock.http import models
from flow_providers.mock.http.calls import Call, Route
from flow_providers.mock.http.holdings import (
    Held,
    Roll,
    document,
    held_by,
    instance,
    owners_of,
    status_document,
)
from flow_providers.mock.http.launching import image_id
from flow_providers.mock.http.messages import Refused, Response, ok, reply
from flow_providers.mock.http.paging import Key, page
from flow_providers.mock.http.shapes import many, one_of, page_of, text, whole

PATH = "/v2/instances"
_UP = (NodeState.STARTING, NodeState.RUNNING, NodeState.LEAVING)


def list_instances(call: Call) -> Response:
    """Return a page of a project's instances, newest first unless told otherwise; ended ones too."""
    asked = call.query
    project = call.project(asked["project"])
    kinds = asked["order_type_in"] or ("Bid", "Reservation")
    markets = {
        market.id: market.type_id
        for market in call.world.markets.live()
        if asked["instance_type"] in (None, market.type_id)
        and asked["region"] in (None, market.region)
    }
    states = set(asked["status_in"] or ())

    def is_asked(held: Held) -> bool:
        return (
            held.owner.project == project
            and held.owner.market in markets
            and ("Bid" if held.bid is not None else "Reservation") in kinds
            and (not states or status_of(held.node) in states)
        )

    def by_status(held: Held) -> Key:
        return (status_of(held.node), *held.by_age())

    def by_type(held: Held) -> Key:
        return (markets[held.owner.market], *held.by_age())

    order = asked["sort_by"] or "created_at"
    named = _named(call)
    everyone = Roll(call)
    shown, cursor = page(
        everyone if named is None else named,
        key={"instance_status": by_status, "instance_type_fid": by_type}.get(order, Held.by_age),
        order=order,
        keep=is_asked,
        is_sorted=named is None and order == "created_at",
        descending=(asked["sort_dir"] or "desc") == "desc",
        limit=asked["limit"],
        cursor=asked["next_cursor"],
    )
    return ok({"data": [document(call, held) for held in shown], "next_cursor": cursor})


def show_status(call: Call) -> Response:
    """Return one instance's status."""
    return ok(status_document(instance(call, call.path["instance_fid"])))


def change_instances(call: Call) -> Response:
    """Start or stop reserved instances; those that can't be stopped keep their status."""
    fids, wants_up = call.body["instances"], call.body["status"] == "STATUS_RUNNING"
    found = [_reserved(call, fid) for fid in fids]
    for _, row in found:
        if row.state not in ("active", "paused"):
            raise Refused(409, f"Reservation {row.id} is {row.state}: its instances are not ready")
    said = {}
    for held, row in found:
        node = held.node
        said[node.id] = status_of(node)
        if wants_up and node.state is NodeState.STOPPED:
            reserving.resume_node(call.world, call.rules, row.id, node, call.now)
            said[node.id] = "STATUS_CONFIRMED"
        elif not wants_up and node.state in _UP:
            terms.stop_node(call.world, node, call.now)
            said[node.id] = "STATUS_STOPPING"
    return ok({"instances": said})


def refresh_boot_disk(call: Call) -> Response:
    """Give a stopped reserved instance a new boot disk, of another image if named."""
    held, row = _reserved(call, call.path["instance_fid"])
    try:
        image = image_id(call, call.body["image_version"])
    except Refused as refused:
        return reply(422, {"detail": refused.detail, "reason": "INVALID_IMAGE_VERSION"})
    if held.node.state is NodeState.GONE:
        raise Refused(409, f"Instance {held.node.id} has no machine any more")
    if held.node.state is not NodeState.STOPPED:
        detail = f"Instance {held.node.id} must be stopped first"
        return reply(422, {"detail": detail, "reason": "INSTANCE_RUNNING"})
    launch = call.world.launches.get(row.id)
    if launch is not None and image is not None:
        launch = call.world.launches.put(evolve(launch, image=image))
    return ok(
        {
            "fid": held.node.id,
            "image_version": launch.image if launch is not None else None,
            "status": "REFRESHED",
        }
    )


def restart(call: Call) -> Response:
    """Have a reserved instance boot again; its status doesn't show it."""
    held, _ = _reserved(call, call.path["instance_fid"])
    if held.node.state is not NodeState.RUNNING:
        raise Refused(409, f"Instance {held.node.id} is {status_of(held.node)}, not running")
    return reply(202, {"fid": held.node.id, "status": "RESTARTING"})


def _named(call: Call) -> list[Held] | None:
    """Return the instances of the bids and reservations that were asked for by id; None if none were."""
    bids, reservations = call.query["bid_fid_in"], call.query["reservation_fid_in"]
    if bids is None and reservations is None:
        return None
    return list(held_by(call, owners_of(call, [*(bids or ()), *(reservations or ())])))


def _reserved(call: Call, fid: str) -> tuple[Held, ReservationRow]:
    """Return a reserved instance and its reservation.

    Raises:
        Refused: 404 when there is no such instance, 501 for a spot one.
    """
    held = instance(call, fid)
    if not isinstance(held.owner, ReservationRow):
        raise Refused(501, f"Instance {fid} is a spot instance; only reserved ones allow this")
    return held, held.owner


ROUTES = (
    Route(
        method="GET", path=PATH, summary="List a project's instances.", answer=list_instances,
        method_name="allocations", replies={200: page_of(models.INSTANCE)}, required=("project",),
        errors=(404,),
        query={
            "project": text(), "instance_type": text(), "region": text(),
            "status_in": many(one_of(*models.NODE_WORDS)),
            "order_type_in": many(one_of("Bid", "Reservation")),
            "bid_fid_in": many(text()), "reservation_fid_in": many(text()),
            "sort_by": one_of("created_at", "instance_status", "instance_type_fid"),
            "sort_dir": models.SORT_DIR, "limit": whole(least=1, most=100), "next_cursor": text(),
        },
    ),
    Route(
        method="PATCH", path=PATH, summary="Start or stop reserved instances.", answer=change_instances,
        changes=True, body=models.INSTANCES_CHANGE, replies={200: models.INSTANCES_CHANGED},
        errors=(404, 409, 501),
    ),
    Route(
        method="GET", path=PATH + "/{instance_fid}/status", summary="Read an instance's status.",
        answer=show_status, replies={200: models.INSTANCE_STATUS}, errors=(404,),
    ),
    Route(
        method="POST", path=PATH + "/{instance_fid}/refresh-boot-disk",
        summary="Renew a stopped reserved instance's boot disk.", answer=refresh_boot_disk, changes=True,
        body=models.BOOT_DISK_ASKED, body_is_optional=True, replies={200: models.BOOT_DISK},
        errors=(404, 409, 501),
    ),
    Route(
        method="POST", path=PATH + "/{instance_fid}/restart", summary="Restart a reserved instance.",
        answer=restart, replies={202: models.RESTARTED}, errors=(404, 409, 501), beyond=True,
    ),
)  # fmt: skip
