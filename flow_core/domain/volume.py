"""Volumes: storage that outlives the tasks that mount it."""

from __future__ import annotations

import enum
from datetime import datetime

from attrs import field, frozen


class Interface(str, enum.Enum):
    """How a volume is used: `file` is shared by all nodes, `block` belongs to one node at a time."""

    FILE = "file"
    BLOCK = "block"


@frozen(kw_only=True)
class Volume:
    """A volume as its provider describes it; `attached_to` holds the ids of the bids that use it now.

    Its region is where the nodes are that can have it; '' where nodes of every region can.
    """

    id: str
    name: str
    region: str
    capacity_gb: int
    interface: Interface
    created_at: datetime
    attached_to: tuple[str, ...] = ()

    def reaches(self, region: str) -> bool:
        """Whether nodes in `region` can have it."""
        return self.region in ("", region)


@frozen(kw_only=True)
class Attachment:
    """A volume as a bid asks for it: `path` is absolute on the node."""

    volume_id: str
    path: str
    read_only: bool = False
    name: str = field(default="")
