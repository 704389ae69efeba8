"""What the pretend cloud needs of whatever plays its nodes: processes on this machine, or values in memory.

The engine decides when a node exists; a host makes it so. Every method may be called again after a crash with the
same arguments and then changes nothing more: a node that runs is not started twice, one that is gone is not missed.
Times are the engine's (simulated); a host that runs real processes translates.
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from attrs import frozen

from flow_core.domain.allocation import Notice
from flow_core.domain.bid import Launch
from flow_core.domain.run import LogChunk, RunReport
from flow_core.domain.shape import InstanceShape
from flow_core.domain.volume import Attachment, Interface


@frozen(kw_only=True)
class NodeVolume:
    """What a node's host must know of a volume to attach it."""

    id: str
    name: str
    interface: Interface
    capacity_gb: int


@frozen(kw_only=True)
class HostedNode:
    """A node as the engine grants it. `attachments` name volumes by id; `peers` is how many nodes its bid has.

    `name` is the instance's. `keys` are the public keys that open it, as texts. `volumes` describes what is attached.
    """

    id: str
    bid_id: str
    rank: int
    shape: InstanceShape
    peers: int = 1
    attachments: tuple[Attachment, ...] = ()
    name: str = ""
    keys: tuple[str, ...] = ()
    volumes: tuple[NodeVolume, ...] = ()


class NodeHost(Protocol):
    """Plays nodes. Node ids survive preemption and pause; a node's disk lasts until `destroy`."""

    def boot(self, node: HostedNode, launch: Launch, *, at: datetime) -> None:
        """Start the node's script, on a new disk or on the one it had; a node that runs is left alone."""
        ...

    def notify(self, node_id: str, notice: Notice | None) -> None:
        """Tell the node's command of a notice, or that it was taken back (None)."""
        ...

    def stop(self, node_id: str, *, at: datetime) -> None:
        """End the node's processes, TERM first and KILL some seconds later; keep its disk."""
        ...

    def destroy(self, node_id: str, *, at: datetime) -> None:
        """End the node's processes and drop its disk; its reports and log stay readable."""
        ...

    def lose(self, node_id: str, *, at: datetime) -> None:
        """End the node's processes at once, as a power cut would; it answers nothing until booted again."""
        ...

    def report(self, node_id: str) -> RunReport | None:
        """Return what the node last said of its command; None before its first word."""
        ...

    def read(self, node_id: str, *, offset: int, limit: int) -> LogChunk | None:
        """Return a stretch of the node's log; None before its first word."""
        ...

    def create_volume(self, volume_id: str) -> None:
        """Make the place that the volume's files live in."""
        ...

    def delete_volume(self, volume_id: str) -> None:
        """Drop the volume's files."""
        ...

    def mount_problem(self, attachments: tuple[Attachment, ...]) -> str | None:
        """Return why nodes can't have these mounts at their paths, naming the first; None if they can."""
        ...

    def next_event_at(self) -> datetime | None:
        """Return when a node will next do something by itself, where that is known (in memory); else None."""
        ...
