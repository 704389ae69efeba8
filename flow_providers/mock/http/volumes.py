"""Volumes of a project."""

from __future__ import annotations

from attrs import evolve

from flow_core.domain.allocation import NodeState
from flow_core.domain.volume import Interface
from flow_providers.mock import bidding
from flow_providers.mock.effects import effect
from flow_providers.mock.http import models
from flow_providers.mock.http.calls import Call, Route, known
from flow_providers.mock.http.launching import project_of, users_of
from flow_providers.mock.http.messages import Json, Refused, Response, created, nothing, ok
from flow_providers.mock.http.shapes import flag, many, text
from flow_providers.mock.http.wire import when, when_known
from flow_providers.mock.rows import VolumeRow
from flow_providers.mock.volumes import MOST_GB, check_storage

PATH = "/v2/volumes"
ONE = PATH + "/{volume_fid}"
_WORDS = {Interface.BLOCK: "Block", Interface.FILE: "File"}


def list_volumes(call: Call) -> Response:
    """Return a project's volumes, oldest first; deleted ones if asked for."""
    project = call.project(call.query["project"])
    rows = call.world.volumes.all() if call.query["include_deleted"] else call.world.volumes.live()
    return ok(
        [
            document(call, row)
            for row in rows
            if project_of(call, row) == project and call.query["region"] in (None, row.region)
        ]
    )


def create_volume(call: Call) -> Response:
    """Make a volume, and return it."""
    asked = call.body
    project = call.project(asked["project"])
    region = call.region(asked["region"])
    if asked["size_gb"] > MOST_GB:
        raise Refused(400, f"A volume has at most {MOST_GB} GB in {region}")
    _check_name(call, asked["name"], project)
    check_storage(call.world, project, asked["size_gb"])
    number = call.world.draw()
    row = VolumeRow(
        id=call.world.new_id("vol"),
        number=number,
        name=asked["name"],
        region=region,
        capacity_gb=asked["size_gb"],
        interface=Interface.BLOCK if asked["disk_interface"] == "Block" else Interface.FILE,
        created_at=call.now,
        project=project,
    )
    call.world.volumes.put(row)
    effect(call.world, "create-volume", row.id, call.now)
    return created(document(call, row))


def rename_volume(call: Call) -> Response:
    """Give a volume another name, and return it."""
    row, name = _volume(call), call.body["name"]
    if name != row.name:
        _check_name(call, name, project_of(call, row))
    return ok(document(call, call.world.volumes.put(evolve(row, name=name))))


def delete_volume(call: Call) -> Response:
    """Delete a volume that nothing uses."""
    row = _volume(call)
    users = users_of(call, row.id)
    if users:
        raise Refused(409, f"Volume {row.name} is in use by {', '.join(users)}")
    call.world.volumes.put(evolve(row, deleted_at=call.now))
    effect(call.world, "delete-volume", row.id, call.now)
    return nothing()


def document(call: Call, row: VolumeRow) -> Json:
    """Write a volume; `attachments` tells which instance has it, and where."""
    bids = bidding.attached_to(call.world, row.id)
    users = users_of(call, row.id)
    device = f"virtio-{row.id[:20]}" if row.interface is Interface.BLOCK else f"/mnt/{row.name}"
    return {
        "fid": row.id,
        "name": row.name,
        "region": row.region,
        "created_at": when(row.created_at),
        "deleted_at": when_known(row.deleted_at),
        "capacity_gb": row.capacity_gb,
        "project": project_of(call, row),
        "interface": _WORDS[row.interface],
        "bids": bids,
        "reservations": [each for each in users if each not in bids],
        "attachments": {
            node.id: device
            for each in users
            for node in call.world.nodes.in_group(each)
            if node.state is NodeState.RUNNING
        },
    }


def _volume(call: Call) -> VolumeRow:
    fid = call.path["volume_fid"]
    row: VolumeRow = known(call.world.volumes.held(fid), "Volume", fid)
    if not call.may_see(project_of(call, row)):
        raise Refused(404, f"Volume {fid} not found")
    return row


def _check_name(call: Call, name: str, project: str) -> None:
    if any(project_of(call, row) == project for row in call.world.volumes.named(name)):
        raise Refused(409, f"Volume name {name} already exists")


ROUTES = (
    Route(
        method="GET", path=PATH, summary="List a project's volumes.", answer=list_volumes,
        method_name="volumes", replies={200: many(models.VOLUME)}, required=("project",), errors=(404,),
        query={"project": text(), "region": text(), "include_deleted": flag(default=False)},
    ),
    Route(
        method="POST", path=PATH, summary="Make a volume.", answer=create_volume, method_name="create",
        changes=True, is_create=True, body=models.VOLUME_ASKED, replies={201: models.VOLUME},
        errors=(400, 403, 404, 409),
    ),
    Route(
        method="PATCH", path=ONE, summary="Rename a volume.", answer=rename_volume, changes=True,
        body=models.VOLUME_CHANGE, replies={200: models.VOLUME}, errors=(404, 409),
    ),
    Route(
        method="DELETE", path=ONE, summary="Delete a volume.", answer=delete_volume,
        method_name="delete", changes=True, replies={204: None}, errors=(404, 409),
    ),
)  # fmt: skip
