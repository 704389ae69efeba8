"""The volumes role: folders of the shared folder, which nodes of every partition see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from flow_core.domain.bid import BidState
from flow_core.domain.volume import Attachment, Interface, Volume
from flow_core.errors import Conflict, InvalidRequest, NotFound
from flow_providers.slurm.catalog import Surveyor
from flow_providers.slurm.estate import Estate, moment


class SlurmVolumes:
    """Implements `ports.volumes.Volumes`. A capacity is written down and not enforced: that is the file system's."""

    def __init__(self, estate: Estate, surveyor: Surveyor) -> None:
        self._estate = estate
        self._surveyor = surveyor

    def create(self, name: str, *, region: str, capacity_gb: int, interface: Interface) -> Volume:
        """See `Volumes.create`."""
        problems = {}
        regions = dict.fromkeys(each.partition.name for each in self._surveyor.look().offers)
        if region not in regions:
            problems["region"] = f"there is no partition {region!r}; there are {', '.join(regions)}"
        if capacity_gb < 1:
            problems["size"] = f"{capacity_gb} GB is no size; 1 is the least"
        if interface is not Interface.FILE:
            problems["interface"] = "a cluster's volumes are folders (file), never block devices"
        if problems:
            raise InvalidRequest(problems)
        record = {"name": name, "capacity_gb": capacity_gb}
        return _volume(self._estate.do("make", id=quote(name, safe=""), record=record), ())

    def volumes(self) -> Sequence[Volume]:
        """See `Volumes.volumes`."""
        found = self._estate.read("volumes")["volumes"]
        users: dict[str, list[str]] = {}
        for bid in self._estate.look().live.values() if found else ():
            if bid.state is not BidState.TERMINATED:
                for each in dict.fromkeys(mount["id"] for mount in bid.told["mounts"]):
                    users.setdefault(each, []).append(bid.id)
        made = [_volume(each, users.get(each["id"], ())) for each in found]
        return sorted(made, key=lambda volume: (volume.created_at, volume.id))

    def attach(self, attachment: Attachment, *, bid_id: str) -> None:
        """See `Volumes.attach`."""
        found = self._estate.find(bid_id)
        if all(each.id != attachment.volume_id for each in self.volumes()):
            raise NotFound(f"there is no volume {attachment.volume_id!r} on this cluster")
        if found.state is not BidState.PAUSED:
            raise Conflict(
                f"{found.told['name']} is {found.state.value}; only what is paused takes a volume"
            )
        self._estate.do(
            "attach",
            id=bid_id,
            mount=mount_of(attachment),
            program=program(),
            in_image=bool(found.told.get("in_image")),
        )

    def delete(self, volume_id: str) -> None:
        """See `Volumes.delete`."""
        self._estate.look()  # what has ended by itself holds nothing any more
        self._estate.do("unmake", id=volume_id)


def mount_of(attachment: Attachment) -> dict[str, object]:
    """Return an attachment as the bid's folder has it."""
    path = attachment.path.rstrip("/") or "/"
    return {"id": attachment.volume_id, "path": path, "read_only": attachment.read_only}


@cache
def program() -> str:
    """Return what brings volumes to their paths, as nodes run it."""
    return Path(__file__).with_name("mounts.py").read_text("utf-8")


def _volume(told: Mapping[str, Any], users: Sequence[str]) -> Volume:
    return Volume(
        id=told["id"],
        name=told["name"],
        region="",
        capacity_gb=told["capacity_gb"],
        interface=Interface.FILE,
        created_at=moment(told["created_at"]),
        attached_to=tuple(users),
    )
