"""The volumes role: Docker's own volumes, with labels."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Sequence
from datetime import datetime, timezone

from flow_core.domain.volume import Attachment, Interface, Volume
from flow_core.errors import InUse, InvalidRequest, NameTaken, NotFound, Unsupported
from flow_core.ports.clock import Clock
from flow_providers.local_docker.engine import Engine
from flow_providers.local_docker.estate import Estate
from flow_providers.local_docker.labels import CLAIM, MADE, REGION, VOLUME


class DockerVolumes:
    """Implements `ports.volumes.Volumes`. A capacity is written down and not enforced: Docker's volumes have none."""

    def __init__(self, engine: Engine, estate: Estate, *, clock: Clock) -> None:
        self._engine = engine
        self._estate = estate
        self._clock = clock

    def create(self, name: str, *, region: str, capacity_gb: int, interface: Interface) -> Volume:
        """See `Volumes.create`."""
        problems = {}
        if region != REGION:
            problems["region"] = f"there is no {region!r} here; this machine is {REGION!r}"
        if capacity_gb < 1:
            problems["size"] = f"{capacity_gb} GB is no size; 1 is the least"
        if interface is not Interface.FILE:
            problems["interface"] = "this machine's volumes are folders (file), never block devices"
        if problems:
            raise InvalidRequest(problems)
        claim = secrets.token_hex(8)
        told = {
            "name": name,
            "capacity_gb": capacity_gb,
            "created_at": self._clock.now().isoformat(),
        }
        labels = {VOLUME: json.dumps(told), CLAIM: claim, MADE: "local-docker"}
        body = {"Name": _id(name), "Labels": labels}
        made = self._engine.ask("POST", "/volumes/create", body=body)
        if (made.get("Labels") or {}).get(CLAIM) != claim:
            raise NameTaken(f"there is a volume {name!r} already")
        return _volume(made["Name"], labels[VOLUME], ())

    def volumes(self) -> Sequence[Volume]:
        """See `Volumes.volumes`."""
        query = {"filters": {"label": [VOLUME]}}
        found = self._engine.ask("GET", "/volumes", query=query)["Volumes"] or []
        users: dict[str, list[str]] = {}
        # A bid that has ended uses nothing, though its containers may be there for a moment yet.
        for record in self._estate.look(grant=False).records.values() if found else ():
            for each in record.attachments:
                users.setdefault(each["volume_id"], []).append(record.id)
        volumes = [
            _volume(each["Name"], each["Labels"][VOLUME], users.get(each["Name"], ()))
            for each in found
        ]
        return sorted(volumes, key=lambda volume: volume.created_at)

    def attach(self, attachment: Attachment, *, bid_id: str) -> None:
        """See `Volumes.attach`; a container's volumes are settled when it is made."""
        raise Unsupported(
            "local-docker can't give a volume to containers that are there",
            hint="name it when they are made: --mount volume://NAME:/PATH",
        )

    def delete(self, volume_id: str) -> None:
        """See `Volumes.delete`."""
        volume = next((each for each in self.volumes() if each.id == volume_id), None)
        if volume is None:
            return
        if volume.attached_to:
            raise InUse(f"{volume.name} is attached to {', '.join(volume.attached_to)}")
        try:
            try:
                self._engine.ask("DELETE", f"/volumes/{volume_id}")
            except InUse:
                self._estate.let_go(volume_id)
                self._engine.ask("DELETE", f"/volumes/{volume_id}")
        except NotFound:
            return
        except InUse as error:
            raise InUse(f"{volume.name} is in use by another container") from error


def _id(name: str) -> str:
    """Return the name that Docker has for a volume of this name."""
    if re.fullmatch(r"[a-zA-Z0-9_.-]{1,100}", name):
        return f"flow-volume-{name}"
    known = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return f"flow-volume-x-{known}"


def _volume(volume_id: str, text: str, users: Sequence[str]) -> Volume:
    told = json.loads(text)
    return Volume(
        id=volume_id,
        name=told["name"],
        region=REGION,
        capacity_gb=told["capacity_gb"],
        interface=Interface.FILE,
        created_at=datetime.fromisoformat(told["created_at"]).astimezone(timezone.utc),
        attached_to=tuple(users),
    )
