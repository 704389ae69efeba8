"""Spot bids: placed, listed, changed, ended."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from attrs import evolve

from flow_core.domain.bid import BidState
from flow_providers.mock import bidding
from flow_providers.mock.http import models
from flow_providers.mock.http.calls import Call, Route, known
from flow_providers.mock.http.launching import attachments, launch_document, launch_of
from flow_providers.mock.http.messages import Json, Refused, Response, created, nothing, ok
from flow_providers.mock.http.paging import Key, page
from flow_providers.mock.http.shapes import one_of, page_of, text, whole
from flow_providers.mock.http.wire import dollars, price, when, when_known
from flow_providers.mock.rows import BidRow, LaunchRow

WORDS = {
    BidState.OPEN: "Open",
    BidState.ALLOCATED: "Allocated",
    BidState.RELOCATING: "Allocated",
    BidState.PREEMPTING: "Preempting",
    BidState.PAUSED: "Paused",
    BidState.TERMINATED: "Terminated",
}
PATH = "/v2/spot/bids"
ONE = PATH + "/{bid_fid}"


def list_bids(call: Call) -> Response:
    """Return a page of bids, newest first unless told otherwise."""
    asked = call.query
    if asked["project"] is not None:
        call.project(asked["project"])
    rows = (
        call.world.bids.all() if asked["name"] is None else call.world.bids.labelled(asked["name"])
    )
    visible = call.now - timedelta(seconds=call.world.meta.lag_s)
    lags = call.world.meta.lag_s > 0
    projects = {asked["project"]} if asked["project"] is not None else set(call.projects)
    markets = {
        market.id
        for market in call.world.markets.live()
        if asked["instance_type"] in (None, market.type_id)
        and asked["region"] in (None, market.region)
    }
    state = asked["status"]

    def is_asked(row: BidRow) -> bool:
        return (
            row.project in projects
            and row.market in markets
            and (state is None or WORDS[row.state] == state)
            and not (lags and row.created_at > visible)
        )

    order = asked["sort_by"] or "created_at"
    shown, cursor = page(
        rows,
        key=_by_status if order == "status" else _by_age,
        order=order,
        keep=is_asked,
        is_sorted=order == "created_at",
        descending=(asked["sort_dir"] or "desc") == "desc",
        limit=asked["limit"],
        cursor=asked["next_cursor"],
    )
    return ok({"data": documents(call, shown), "next_cursor": cursor})


def place_bid(call: Call) -> Response:
    """Enter a bid, and return it."""
    asked = call.body
    project = call.project(asked["project"])
    market = call.market(asked["instance_type"], asked["region"])
    limit = price(asked["limit_price"], ("body", "limit_price"))
    quantity = asked["instance_quantity"]
    if quantity > market.capacity:
        raise Refused(
            400, f"{market.region} has {market.capacity} instances of this type, not {quantity}"
        )
    told = asked["launch_specification"]
    launch = launch_of(call, told, project=project, region=market.region, quantity=quantity)
    offer = bidding.Offer(
        name=asked["name"],
        type_id=market.type_id,
        region=market.region,
        quantity=quantity,
        limit=limit,
        launch=launch,
        owner=call.me.id,
        project=project,
    )
    row = bidding.place(call.world, call.rules, call.now, offer)
    kept = call.world.launches.get(row.id)
    if kept is not None and (told["memory_gb"] or told["kubernetes_cluster"]):
        call.world.launches.put(
            evolve(kept, memory_gb=told["memory_gb"], cluster=told["kubernetes_cluster"])
        )
    return created(documents(call, [row])[0])


def show_bid(call: Call) -> Response:
    """Return one bid."""
    return ok(documents(call, [_bid(call)])[0])


def change_bid(call: Call) -> Response:
    """Change a bid's limit, pause or resume it, or change the volumes of a paused one."""
    row, asked = _bid(call), call.body
    limit = None
    if asked["limit_price"] is not None:
        limit = price(asked["limit_price"], ("body", "limit_price"))
    if asked["memory_gb"] is not None:
        raise Refused(400, "The memory of this instance type is not adjustable")
    launch, volumes = None, row.volumes
    if asked["volumes"] is not None:
        launch, volumes = _with_volumes(call, row, asked["volumes"])
    if limit is not None or asked["paused"] is not None:
        row = bidding.amend(
            call.world, call.rules, call.now, row.id, limit=limit, paused=asked["paused"]
        )
    if launch is not None:
        call.world.launches.put(launch)
        row = call.world.bids.put(evolve(row, volumes=volumes))
    return ok(documents(call, [row])[0])


def cancel_bid(call: Call) -> Response:
    """End a bid; one that has ended stays as it is."""
    bidding.withdraw(call.world, call.rules, call.now, _bid(call).id)
    return nothing()


def show_status(call: Call) -> Response:
    """Return a bid's status with what its instances add to it."""
    row = _bid(call)
    moves = row.state is BidState.RELOCATING
    return ok({"bid_fid": row.id, "status": "Relocating" if moves else WORDS[row.state]})


def show_history(call: Call) -> Response:
    """Return what happened to a bid, oldest first."""
    row = _bid(call)
    return ok(
        {
            "bid_fid": row.id,
            "events": [
                {
                    "timestamp": when(each.at),
                    "event_type": each.what,
                    "limit_price": dollars(each.price) if each.price is not None else None,
                    "user_id": each.user or None,
                    "memory_gb": None,
                    "persistent_disk_change": _disk_change(each.what, each.detail),
                }
                for each in call.world.events.of([row.id])
            ],
        }
    )


def documents(call: Call, rows: Sequence[BidRow]) -> list[Json]:
    """Write bids, with their nodes and what these start with."""
    world = call.world
    launches = {each.id: each for each in world.launches.find(row.id for row in rows)}
    ended = [row.id for row in rows if not row.is_live]
    nodes: dict[str, list[str]] = {}
    for node in world.nodes.of(ended) if ended else ():
        nodes.setdefault(node.bid, []).append(node.id)
    found = []
    for row in rows:
        market = world.markets.held(row.market)
        if row.is_live:
            nodes[row.id] = [node.id for node in world.nodes.in_group(row.id)]
        found.append(
            {
                "fid": row.id,
                "name": row.name,
                "project": row.project,
                "created_by": row.owner,
                "created_at": when(row.created_at),
                "deactivated_at": when_known(row.ended_at),
                "limit_price": dollars(row.limit),
                "instance_quantity": row.quantity,
                "instance_type": market.type_id if market is not None else "",
                "region": market.region if market is not None else None,
                "instances": nodes.get(row.id, []),
                "launch_specification": launch_document(launches.get(row.id)),
                "status": WORDS[row.state],
            }
        )
    return found


def _bid(call: Call) -> BidRow:
    fid = call.path["bid_fid"]
    row: BidRow = known(call.world.bids.get(fid), "Bid", fid)
    if not call.may_see(row.project):
        raise Refused(404, f"Bid {fid} not found")
    return row


def _with_volumes(call: Call, row: BidRow, fids: list[str]) -> tuple[LaunchRow, tuple[str, ...]]:
    """Return a bid's launch with these volumes and no others, and their ids.

    Raises:
        Refused: 409, unless the bid is paused.
    """
    if row.state is not BidState.PAUSED:
        raise Refused(409, f"Bid {row.id} must be paused to change its volumes")
    market = call.world.markets.held(row.market)
    found = attachments(
        call,
        fids,
        project=row.project,
        region=market.region if market is not None else "",
        quantity=row.quantity,
        holder=row.id,
    )
    launch = call.world.launches.get(row.id) or LaunchRow(id=row.id, script="")
    return evolve(launch, attachments=found), tuple(each.volume_id for each in found)


def _disk_change(what: str, volume: str) -> Json | None:
    if not what.startswith("Volumes "):
        return None
    is_added = what == "Volumes Attached"
    return {"attached": volume if is_added else None, "removed": None if is_added else volume}


def _by_age(row: BidRow) -> Key:
    return (row.number,)


def _by_status(row: BidRow) -> Key:
    return (WORDS[row.state], row.number)


ROUTES = (
    Route(
        method="GET", path=PATH, summary="List spot bids.", answer=list_bids,
        method_name="bids", replies={200: page_of(models.BID)}, errors=(404,),
        query={
            "project": text(), "instance_type": text(), "region": text(), "name": text(),
            "status": one_of(*models.BID_WORDS), "sort_by": one_of("created_at", "status"),
            "sort_dir": models.SORT_DIR, "limit": whole(least=1, most=100), "next_cursor": text(),
        },
    ),
    Route(
        method="POST", path=PATH, summary="Place a spot bid.", answer=place_bid, method_name="place",
        changes=True, is_create=True, body=models.BID_ASKED, replies={201: models.BID},
        errors=(400, 403, 404, 409),
    ),
    Route(
        method="GET", path=ONE, summary="Read a spot bid.", answer=show_bid, method_name="bid",
        replies={200: models.BID}, errors=(404,),
    ),
    Route(
        method="PATCH", path=ONE, summary="Change, pause or resume a spot bid.", answer=change_bid,
        method_name="amend", changes=True, body=models.BID_CHANGE, replies={200: models.BID},
        errors=(400, 404, 409),
    ),
    Route(
        method="DELETE", path=ONE, summary="End a spot bid.", answer=cancel_bid, method_name="withdraw",
        changes=True, replies={204: None}, errors=(404,),
    ),
    Route(
        method="GET", path=ONE + "/status", summary="Read a spot bid's status.", answer=show_status,
        replies={200: models.BID_STATUS}, errors=(404,),
    ),
    Route(
        method="GET", path=ONE + "/history", summary="Read what happened to a spot bid.",
        answer=show_history, replies={200: models.BID_HISTORY}, errors=(404,),
    ),
)  # fmt: skip
