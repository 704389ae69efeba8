"""Volumes of tasks: found by name or id, made on request before the bid, and told to the nodes.

A volume that a task makes is written into its record before the provider is asked, so that whoever ends a refused
intent knows what to delete: only a volume that was written down so, that nothing uses, and whose making nobody else
had come before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from flow_core.domain.record import TaskEvent, TaskRecord
from flow_core.domain.sources import WantedVolume, wanted_volume
from flow_core.domain.task_parts import Mount, Source
from flow_core.domain.volume import Attachment, Interface, Volume
from flow_core.errors import FlowError, InvalidRequest, NameTaken

if TYPE_CHECKING:
    from flow_core.domain.status import TaskView
    from flow_core.domain.task import TaskSpec
    from flow_core.ports.provider import Provider
    from flow_core.services.ports import Ports


def unsupported_mounts(spec: TaskSpec, provider: Provider) -> dict[str, str]:
    """Return what is wrong with mounts of kinds that the provider's nodes can't have; empty where nothing is."""
    able = provider.limits.mounts
    unable = [mount for mount in spec.mounts if mount.kind not in able]
    if not unable:
        return {}
    able_words = ", ".join(sorted(source.value for source in able)) or "none"
    told = [f"{provider.name} can't mount {mount.source!r} at {mount.path}" for mount in unable]
    ways = {
        Source.HOST: "a folder of this machine gets to nodes as the task's code, by `flow cp`, or on a volume",
        Source.S3: "copy it onto a volume, or read it in the program itself",
    }
    advice = [text for kind, text in ways.items() if kind in {mount.kind for mount in unable}]
    return {"mounts": f"{'; '.join(told)} (it can: {able_words}); {'; '.join(advice)}".rstrip("; ")}


def attachments_of(
    spec: TaskSpec, volumes: Sequence[Volume], *, region: str
) -> tuple[Attachment, ...]:
    """Return the volumes that `spec` mounts, by id; those that are still to be made are left out.

    Raises:
        InvalidRequest: a volume is missing, lies in another region than `region`, is of another kind than was asked
            for, or is a block volume for several nodes.
    """
    problems = []
    found = []
    for mount in _volume_mounts(spec):
        wanted = wanted_volume(mount.source)
        volume = _named(wanted.name, volumes)
        if volume is None and wanted.capacity_gb is None:
            problems.append(
                f"no volume is named {mount.target!r} ({mount.path}); "
                f"'volume://{mount.target}?size=100gb' would make one"
            )
        interface = wanted.interface if volume is None else volume.interface
        if interface is Interface.BLOCK and spec.num_instances > 1:
            problems.append(
                f"block volume {wanted.name!r} belongs to one node at a time, not to {spec.num_instances}"
            )
        if volume is None:
            continue
        if not volume.reaches(region):
            problems.append(
                f"volume {volume.name!r} lies in {volume.region}, the nodes in {region}"
            )
        elif wanted.capacity_gb is not None and volume.interface is not wanted.interface:
            kind = volume.interface.value
            problems.append(f"volume {volume.name!r} is there already, as a {kind} volume")
        else:
            found.append(
                Attachment(
                    volume_id=volume.id,
                    path=mount.path,
                    read_only=mount.read_only,
                    name=volume.name,
                )
            )
    if problems:
        raise InvalidRequest(
            {"mounts": "; ".join(problems)},
            hint="`flow volume list` shows what there is, and where",
        )
    return tuple(found)


def planned_volumes(ports: Ports, spec: TaskSpec, *, region: str) -> list[str]:
    """Return what is to be said of the volumes of `spec` before it is bid in `region`: those that will be made.

    Raises:
        InvalidRequest: see `attachments_of`; or a block volume is in use now.
    """
    if not _volume_mounts(spec):
        return []
    volumes = ports.provider.need_volumes().volumes()
    attached = {each.volume_id for each in attachments_of(spec, volumes, region=region)}
    taken = [
        each
        for each in volumes
        if each.id in attached and each.interface is Interface.BLOCK and each.attached_to
    ]
    if taken:
        told = f"block volume {taken[0].name!r} is in use by {', '.join(taken[0].attached_to)}"
        raise InvalidRequest(
            {"mounts": told},
            hint="it belongs to one node at a time; end what uses it first",
        )
    notes = [
        f"volume {each.name!r} will be made in {region}: {each.capacity_gb:,} GB ({each.interface.value})"
        for each in _missing(spec, volumes)
    ]
    for mount in _volume_mounts(spec):
        wanted, volume = wanted_volume(mount.source), _named(mount.target, volumes)
        if volume is not None and wanted.capacity_gb not in (None, volume.capacity_gb):
            notes.append(f"volume {volume.name!r} is there already, of {volume.capacity_gb:,} GB")
    return notes


def make_volumes(ports: Ports, record: TaskRecord) -> TaskRecord:
    """Make the volumes of a task that are missing, in its region; return its record, which names them.

    Raises:
        FlowError: see `ports.volumes.Volumes.create`.
    """
    if not _volume_mounts(record.spec):
        return record
    role = ports.provider.need_volumes()
    for wanted in _missing(record.spec, role.volumes()):
        made = {*record.volumes_made.split(), wanted.name}
        record = ports.journal.update(record.token, volumes_made=" ".join(sorted(made)))
        try:
            volume = role.create(
                wanted.name,
                region=record.region,
                capacity_gb=wanted.capacity_gb or 1,
                interface=wanted.interface,
            )
        except NameTaken:
            made.discard(wanted.name)  # someone else's, made since: not ours to delete
            ports.journal.update(record.token, volumes_made=" ".join(sorted(made)))
            raise
        _note(
            ports,
            record,
            f"volume {volume.name!r} was made in {volume.region or 'every region'}: {volume.capacity_gb:,} GB",
        )
    return record


def drop_volumes(ports: Ports, record: TaskRecord) -> None:
    """Delete what a task that comes to nothing has made; what can't be deleted is written into its history."""
    names = record.volumes_made.split()
    if not names:
        return
    try:
        role = ports.provider.need_volumes()
        for volume in role.volumes():
            if volume.name in names and not volume.attached_to:
                role.delete(volume.id)
                _note(ports, record, f"volume {volume.name!r}, made for it, was deleted again")
    except FlowError as trouble:
        _note(
            ports,
            record,
            f"it made {', '.join(names)}, which may still be there; `flow volume list` tells",
            trouble.message,
        )
        return
    ports.journal.update(record.token, volumes_made="")


def region_of_volumes(ports: Ports, spec: TaskSpec) -> str | None:
    """Return where the first volume that `spec` mounts lies; None where there is none yet, or it is everywhere."""
    names = {mount.target for mount in _volume_mounts(spec)}
    if not names or ports.provider.volumes is None:
        return None
    found = [each for each in ports.provider.volumes.volumes() if names & {each.name, each.id}]
    return next((each.region for each in found if each.region), None)


def volumes_part(ports: Ports, view: TaskView) -> object:
    """Return what the nodes must mount themselves; None where the provider does all of it."""
    spec, limits = view.record.spec, ports.provider.limits
    mounts = _volume_mounts(spec)
    if not mounts or not (limits.volume_path or limits.volume_device):
        return None
    volumes = ports.provider.need_volumes().volumes()
    told = []
    for mount in mounts:
        volume = _named(mount.target, volumes)
        if volume is None:
            raise InvalidRequest({"mounts": f"volume {mount.target!r} is gone"})
        block = volume.interface is Interface.BLOCK
        place = limits.volume_device if block else limits.volume_path
        if place:
            told.append(
                {
                    "name": volume.name,
                    "path": mount.path,
                    "read_only": mount.read_only,
                    "device" if block else "source": place.format(name=volume.name, id=volume.id),
                }
            )
    return told or None


def find_volume(ports: Ports, name: str) -> Volume | None:
    """Return the volume of that name or id; None where there is none."""
    return _named(name, ports.provider.need_volumes().volumes())


def _volume_mounts(spec: TaskSpec) -> list[Mount]:
    return [mount for mount in spec.mounts if mount.kind is Source.VOLUME]


def _missing(spec: TaskSpec, volumes: Sequence[Volume]) -> list[WantedVolume]:
    """Return what is to be made, each name once."""
    wanted = [wanted_volume(mount.source) for mount in _volume_mounts(spec)]
    missing = {
        each.name: each
        for each in wanted
        if each.capacity_gb is not None and _named(each.name, volumes) is None
    }
    return list(missing.values())


def _named(name: str, volumes: Sequence[Volume]) -> Volume | None:
    return next((each for each in volumes if name in (each.name, each.id)), None)


def _note(ports: Ports, record: TaskRecord, what: str, why: str = "") -> None:
    now = ports.provider.clock.now()
    ports.journal.log(record.token, TaskEvent(at=now, what=what, why=why))
