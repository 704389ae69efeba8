"""Where a task's nodes leave their logs and meet each other, so that neither takes a client: a volume, or a bucket.

The kit on each node does it beside the command (`flow_core/node/kit/attending.py`); here is said where, and whether one
that fails ends its fellows, to which it takes SSH between them. What others may
not write to is passed over. Nodes that the kit mounts no volumes on are parts of this machine: with it, their logs and
whoever tells them of each other are there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flow_core.domain.task_parts import Mount, RunOn, Source
from flow_core.domain.volume import Interface
from flow_core.services.data_volumes import find_volume

if TYPE_CHECKING:
    from flow_core.domain.record import TaskRecord
    from flow_core.domain.status import TaskView
    from flow_core.ports.provider import Provider
    from flow_core.services.ports import Ports


def attending_part(ports: Ports, view: TaskView) -> object:
    """Return what the kit does beside the command; None where there is nothing to do."""
    record, limits = view.record, ports.provider.limits
    told: dict[str, object] = {}
    for mount in _kept_on(record, ports.provider):
        if mount.kind is Source.S3:
            told.setdefault("log", {"folder": _folder(record), "bucket": mount.path})
            continue
        volume = find_volume(ports, mount.target)
        if volume is None:
            continue
        shared = volume.interface is Interface.FILE and bool(limits.volume_path)
        if not shared and not limits.volume_device:
            continue
        root = limits.volume_path.format(name=volume.name, id=volume.id) if shared else mount.path
        place = {"folder": f"{root}/{_folder(record)}", "mounted": root}
        told.setdefault("log", place)
        if shared and record.spec.num_instances > 1:
            told.setdefault("meeting", place)
    spec = record.spec
    if (
        spec.num_instances > 1
        and spec.run_on is RunOn.EVERY_NODE
        and ports.provider.ssh is not None
    ):
        told["failing"] = True
    return told or None


def where_logs_lie(record: TaskRecord, provider: Provider, rank: int) -> str:
    """Return in words where the log of a node lies besides; empty where it lies nowhere else."""
    for mount in _kept_on(record, provider):
        source = mount.source.partition("?")[0]
        what = f"volume {mount.target!r}" if mount.kind is Source.VOLUME else source
        return f"{what} has it too, in {_folder(record)}/log/node-{rank}-*"
    return ""


def _kept_on(record: TaskRecord, provider: Provider) -> list[Mount]:
    """Return the mounts that may be written to and outlive the nodes: volumes first."""
    limits = provider.limits
    if not (limits.volume_path or limits.volume_device):
        return []
    volumes = [each for each in record.spec.mounts if each.kind is Source.VOLUME]
    buckets = [each for each in record.spec.mounts if each.kind is Source.S3]
    writable = [each for each in volumes if not each.read_only]
    if not buckets:
        return writable
    from flow_core.domain.s3 import parse_s3

    return writable + [
        each for each in buckets if parse_s3(each.source, read_only=each.read_only).writable
    ]


def _folder(record: TaskRecord) -> str:
    return f".flow/{record.name.replace('/', '_')}-{record.token}"
