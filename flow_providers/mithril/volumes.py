"""The volumes role: block and file storage of one region each."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from flow_core.domain.volume import Attachment, Interface, Volume
from flow_core.errors import Conflict, InUse, InvalidRequest, NameTaken, NotFound
from flow_providers.mithril import wire
from flow_providers.mithril.client import Client, segment

#: Source: the service's OpenAPI, CreateVolumeRequest.
_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_LONGEST_NAME = 64
#: The size lies under 2 PiB. Source: the service's OpenAPI; lower limits of regions are told by Mithril.
_MOST_GB = 2 * 1024 * 1024

_INTERFACES = {"file": Interface.FILE, "block": Interface.BLOCK}
_WORDS = {Interface.FILE: "File", Interface.BLOCK: "Block"}
_PATH = "/v2/volumes"


class MithrilVolumes:
    """Implements `ports.volumes.Volumes`; `regions` tells where there are any markets."""

    def __init__(self, client: Client, *, regions: Callable[[], Sequence[str]]) -> None:
        self._client = client
        self._regions = regions

    def create(self, name: str, *, region: str, capacity_gb: int, interface: Interface) -> Volume:
        """See `Volumes.create`."""
        problems: dict[str, str] = {}
        if len(name) > _LONGEST_NAME or not _NAME.fullmatch(name):
            problems["name"] = (
                f"{name!r} can't name a volume at Mithril; use up to {_LONGEST_NAME} small letters, digits and '-', "
                "a letter first and no '-' last"
            )
        if not 1 <= capacity_gb < _MOST_GB:
            problems["size"] = f"{capacity_gb} GB can't be made; ask for 1 to {_MOST_GB - 1:,}"
        regions = self._regions()
        if regions and region not in regions:
            problems["region"] = (
                f"{region!r} is no region of Mithril; there are {', '.join(regions)}"
            )
        if problems:
            raise InvalidRequest(problems)
        body = {
            "name": name,
            "project": self._client.project,
            "disk_interface": _WORDS[interface],
            "region": region,
            "size_gb": capacity_gb,
        }
        try:
            return _volume(self._client.create("create volume", wire.Volume, _PATH, body))
        except Conflict as taken:
            raise NameTaken(
                taken.message, hint="`flow volume list` shows the names in use"
            ) from taken

    def volumes(self) -> Sequence[Volume]:
        """See `Volumes.volumes`."""
        told = self._client.listed(
            "list volumes", wire.Volume, _PATH, {"project": self._client.project}
        )
        there = [_volume(each) for each in told if each.deleted_at is None]
        return sorted(there, key=lambda volume: (volume.created_at, volume.id))

    def attach(self, attachment: Attachment, *, bid_id: str) -> None:
        """See `Volumes.attach`; Mithril takes the whole list of a bid's volumes (contract, gotchas 16 and 17)."""
        path = f"/v2/spot/bids/{segment(bid_id)}"
        bid = self._client.read("look up bid", wire.WholeBid, path)
        had = bid.launch_specification.volumes
        if bid.deactivated_at is not None or bid.status.lower() == "terminated":
            raise Conflict(f"bid {bid.name} has ended and can't be given a volume")
        if attachment.volume_id in had:
            return
        volume = next((each for each in self.volumes() if each.id == attachment.volume_id), None)
        if volume is None:
            raise NotFound(f"no volume of the project has the id {attachment.volume_id!r}")
        self._check_fit(volume, bid)
        if bid.status.lower() != "paused":
            raise Conflict(f"bid {bid.name} must be paused to be given a volume")
        told = {"volumes": [*had, attachment.volume_id]}
        self._client.change("attach volume", wire.Bid, path, told)

    def _check_fit(self, volume: Volume, bid: wire.Bid) -> None:
        problem = None
        if bid.region is not None and volume.region != bid.region:
            problem = f"volume {volume.name!r} lies in {volume.region}, the nodes in {bid.region}"
        elif volume.interface is Interface.BLOCK and bid.instance_quantity > 1:
            problem = (
                f"block volume {volume.name!r} can serve one node, not {bid.instance_quantity}"
            )
        if problem is not None:
            raise InvalidRequest({"mounts": problem})
        others = [user for user in volume.attached_to if user != bid.fid]
        if volume.interface is Interface.BLOCK and others:
            raise InUse(f"block volume {volume.name!r} is in use", hint=f"{others[0]} has it")

    def delete(self, volume_id: str) -> None:
        """See `Volumes.delete`."""
        try:
            self._client.delete("delete volume", f"{_PATH}/{segment(volume_id)}")
        except NotFound:
            return
        except Conflict as refusal:
            raise InUse(refusal.message, hint="end what uses it first") from refusal
        except InvalidRequest as refusal:
            # Which status says "in use" is documented nowhere, so the list has the last word.
            users = [each.attached_to for each in self.volumes() if each.id == volume_id]
            if users and users[0]:
                raise InUse(refusal.message, hint=f"{', '.join(users[0])} uses it") from refusal
            raise


def _volume(told: wire.Volume) -> Volume:
    return Volume(
        id=told.fid,
        name=told.name,
        region=told.region,
        capacity_gb=told.capacity_gb,
        interface=_INTERFACES.get(told.interface.lower(), Interface.FILE),
        created_at=told.created_at,
        attached_to=(*told.bids, *told.reservations),
    )
