"""The volumes role: block and file storage of one region each."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from flow_core.domain.volume import Interface, Volume
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
