"""How a task survives: what it may lose with its nodes, what keeps them away, and when its recovery acts.

A boot disk outlives a preemption, because the bid goes on and is granted its own nodes again; it doesn't outlive a
move. What lies in memory or on a node's own scratch disks outlives nothing.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from datetime import datetime

from attrs import frozen

from flow_core.domain.allocation import Allocation, NodeState, NoticeKind
from flow_core.domain.bid import Bid, BidState
from flow_core.domain.record import Fault, TaskRecord
from flow_core.domain.run import RunPhase, RunReport
from flow_core.domain.task import TaskSpec
from flow_core.domain.task_parts import Mount, Recover, RunOn, Source

#: Folders that a boot empties, on every Linux. Source: the Filesystem Hierarchy Standard 3.0 (/run, /tmp, /dev/shm).
LOST_AT_BOOT = ("/tmp", "/run", "/dev", "/proc", "/sys", "/var/run")  # noqa: S108  # named, not used


@frozen
class Outage:
    """What keeps a task's nodes from being all there and at work, in words, and whose doing it is."""

    words: str
    fault: Fault


def outage_of(
    bid: Bid | None, allocation: Allocation | None, reports: Sequence[RunReport]
) -> Outage | None:
    """Return what keeps a task's nodes from being all there; None when nothing does."""
    notice = allocation.notice if allocation is not None else None
    moves = notice is not None and notice.kind is NoticeKind.RELOCATION
    if bid is not None and bid.state is not BidState.ALLOCATED:
        moves = moves or bid.state is BidState.RELOCATING
        fault = Fault.PROVIDER if moves else Fault.MARKET
        return Outage(f"the bid is {bid.state.value}", fault)
    if notice is not None:
        fault = Fault.PROVIDER if moves else Fault.MARKET
        return Outage(f"the nodes were given notice of {notice.kind.value}", fault)
    spoken = {report.rank: report for report in reports}
    for node in allocation.nodes if allocation is not None else ():
        report = spoken.get(node.rank)
        if not node.is_reachable:
            return Outage(f"node {node.rank} is {node.state.value}", Fault.NODE)
        if report is None:
            return Outage(f"node {node.rank} does not answer", Fault.NETWORK)
        if report.phase is RunPhase.INTERRUPTED or report.phase is RunPhase.WAITING:
            return Outage(f"node {node.rank} is starting over", Fault.NODE)
    return None


def unready_of(
    record: TaskRecord,
    bid: Bid | None,
    allocation: Allocation | None,
    reports: Sequence[RunReport],
) -> Outage | None:
    """Return why nodes that are held can't be told anything, and never could; None when they can, or are not held."""
    if record.ready_at is not None or bid is None or bid.state is not BidState.ALLOCATED:
        return None
    if allocation is not None and allocation.notice is not None:
        return None
    nodes = allocation.nodes if allocation is not None else ()
    if not nodes:
        return Outage("no node has appeared", Fault.PROVIDER)
    spoken = {report.rank for report in reports}
    for node in nodes:
        if not node.is_reachable:
            return Outage(f"node {node.rank} is {node.state.value}", Fault.NODE)
        if node.rank not in spoken:
            return Outage(f"node {node.rank} does not answer", Fault.NETWORK)
    return None


def is_stranded(
    spec: TaskSpec, allocation: Allocation | None, reports: Sequence[RunReport]
) -> bool:
    """Whether a node is lost and nobody goes on without it: all others wait for it, or are done."""
    nodes = allocation.nodes if allocation is not None else ()
    lost = {node.rank for node in nodes if node.state is NodeState.LOST}
    if not lost or spec.keep:
        return False
    counted = [report for report in reports if spec.run_on is RunOn.EVERY_NODE or report.rank == 0]
    return not any(
        report.phase is RunPhase.RUNNING for report in counted if report.rank not in lost
    )


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
