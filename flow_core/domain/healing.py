"""How a task survives: what it may lose with its nodes, and when its recovery acts.

A boot disk outlives a preemption, because the bid goes on and is granted its own nodes again; it doesn't outlive a
move. What lies in memory or on a node's own scratch disks outlives nothing.
"""

from __future__ import annotations

import posixpath
from datetime import datetime

from flow_core.domain.bid import Bid, BidState
from flow_core.domain.record import TaskRecord
from flow_core.domain.task import TaskSpec
from flow_core.domain.task_parts import Mount, Recover, Source

#: Folders that a boot empties, on every Linux. Source: the Filesystem Hierarchy Standard 3.0 (/run, /tmp, /dev/shm).
LOST_AT_BOOT = ("/tmp", "/run", "/dev", "/proc", "/sys", "/var/run")  # noqa: S108  # named, not used


def checkpoint_problem(spec: TaskSpec, *, workspace: str, scratch: tuple[str, ...]) -> str | None:
    """Return why the task's checkpoint would not survive, or None when it does.

    `scratch` names folders of the provider's nodes that no preemption leaves as they are.
    """
    if spec.checkpoint is None:
        return None
    path = posixpath.normpath(posixpath.join(workspace, spec.working_dir or "", spec.checkpoint))
    mount = max(
        (each for each in spec.mounts if _is_in(path, each.path)),
        key=lambda each: len(each.path),
        default=None,
    )
    if mount is not None:
        return _mount_problem(path, mount)
    lost = next((each for each in (*LOST_AT_BOOT, *scratch) if _is_in(path, each)), None)
    if lost is not None:
        return f"{path} lies in {lost}, which is empty after a preemption; use a volume"
    if spec.recovery.how is Recover.MOVE:
        return f"{path} lies on the boot disk, which stays behind when the task moves; use a bucket"
    return None


def recovery_at(record: TaskRecord) -> datetime | None:
    """Return when the recovery of a task that lost its nodes acts, or acts again; None where it just waits."""
    since = record.recovered_at or record.preempted_at
    if record.spec.recovery.how is Recover.WAIT or since is None:
        return None
    return since + record.spec.recovery.after


def recovery_is_due(record: TaskRecord, bid: Bid | None, now: datetime) -> bool:
    """Whether a task without nodes has waited long enough for its recovery to act."""
    at = recovery_at(record)
    return at is not None and at <= now and bid is not None and bid.state is BidState.OPEN


def _mount_problem(path: str, mount: Mount) -> str | None:
    if mount.read_only or (mount.kind is Source.S3 and "mode=rw" not in mount.source):
        how = "?mode=rw" if mount.kind is Source.S3 else "rw"
        return f"{path} lies on {mount.source}, which is mounted read-only; mount it {how}"
    return None


def _is_in(path: str, folder: str) -> bool:
    folder = folder.rstrip("/")
    return path == folder or path.startswith(folder + "/")
