"""What instances start with: checked against what there is, and turned into the market's own words and back."""

from __future__ import annotations

from collections.abc import Iterable

from flow_core.domain.bid import Launch
from flow_core.domain.volume import Attachment, Interface
from flow_providers.mock import bidding
from flow_providers.mock.estate.images import images
from flow_providers.mock.http.calls import Call
from flow_providers.mock.http.messages import Json, Refused
from flow_providers.mock.rows import LaunchRow, VolumeRow


def launch_of(call: Call, asked: Json, *, project: str, region: str, quantity: int) -> Launch:
    """Return what `launch_specification` asks for.

    Raises:
        Refused: 404 for what there isn't, 400 for what can't be.
    """
    script = asked["startup_script"] or ""
    if len(script) > call.policies.longest_script:
        raise Refused(
            400, f"Startup script must be at most {call.policies.longest_script} characters"
        )
    if call.policies.needs_keys and not asked["ssh_keys"]:
        raise Refused(400, "An SSH key is required: no ssh keys were given")
    _check_memory(asked["memory_gb"])
    if asked["kubernetes_cluster"] is not None:
        cluster = call.world.clusters.held(asked["kubernetes_cluster"])
        if cluster is None or cluster.project != project or cluster.deleted_at is not None:
            raise Refused(404, f"Kubernetes cluster {asked['kubernetes_cluster']} not found")
    return Launch(
        script=script,
        image=image_id(call, asked["image_version"]),
        keys=ssh_keys(call, asked["ssh_keys"], project=project),
        attachments=attachments(
            call, asked["volumes"], project=project, region=region, quantity=quantity
        ),
    )


def ssh_keys(call: Call, fids: Iterable[str], *, project: str) -> tuple[str, ...]:
    """Return the public keys behind these ids and those that the project requires, by id.

    Raises:
        Refused: 404, for one that the project doesn't have.
    """
    found: list[str] = []
    for fid in dict.fromkeys(fids):
        key = call.world.ssh_keys.held(fid)
        if key is None or key.project != project:
            raise Refused(404, f"SSH key {fid} not found")
        found.append(fid)
    required = [key.id for key in call.world.ssh_keys.in_group(project) if key.required]
    return tuple(dict.fromkeys([*found, *required]))


def image_id(call: Call, fid: str | None) -> str | None:
    """Return the id of a boot image; None for the default.

    Raises:
        Refused: 404, for one that there isn't.
    """
    if fid is not None and all(image.id != fid for image in images(call.world)):
        raise Refused(404, f"Image version {fid} not found")
    return fid


def attachments(
    call: Call,
    fids: Iterable[str],
    *,
    project: str,
    region: str,
    quantity: int,
    holder: str | None = None,
) -> tuple[Attachment, ...]:
    """Return the volumes as attachments at `/mnt/<name>`; what `holder` has already it may keep.

    Raises:
        Refused: 404 for one that there isn't, 400 for one elsewhere, or a block volume for several instances,
            409 for a block volume that somebody has.
    """
    found: list[Attachment] = []
    for fid in dict.fromkeys(fids):
        volume = call.world.volumes.held(fid)
        if volume is None or project_of(call, volume) != project:
            raise Refused(404, f"Volume {fid} not found")
        if volume.region != region:
            raise Refused(
                400, f"Volume {volume.name} is in region {volume.region}, not in {region}"
            )
        if volume.interface is Interface.BLOCK:
            if quantity > 1:
                raise Refused(400, f"Block volume {volume.name} can serve one instance only")
            users = [each for each in users_of(call, fid) if each != holder]
            if users:
                raise Refused(409, f"Block volume {volume.name} is in use by {users[0]}")
        found.append(Attachment(volume_id=fid, path=f"/mnt/{volume.name}", name=volume.name))
    return tuple(found)


def users_of(call: Call, volume_id: str) -> list[str]:
    """Return the ids of live bids and reservations that have a volume."""
    bids = bidding.attached_to(call.world, volume_id)
    return bids + [each.id for each in call.world.reservations.live() if volume_id in each.volumes]


def project_of(call: Call, volume: VolumeRow) -> str:
    """Return the project of a volume."""
    return volume.project or call.world.meta.project


def launch_document(row: LaunchRow | None) -> Json:
    """Write what a bid or reservation was launched with."""
    if row is None:
        row = LaunchRow(id="", script="")
    return {
        "volumes": [each.volume_id for each in row.attachments],
        "ssh_keys": list(row.keys),
        "startup_script": row.script or None,
        "kubernetes_cluster": row.cluster,
        "image_version": row.image,
        "memory_gb": row.memory_gb,
    }


def _check_memory(memory_gb: int | None) -> None:
    if memory_gb is not None and memory_gb < 1:
        raise Refused(400, f"{memory_gb} GB of memory can't be had")
