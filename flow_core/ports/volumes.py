"""The volumes role: storage that outlives tasks. Optional."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from flow_core.domain.volume import Attachment, Interface, Volume


class Volumes(Protocol):
    """Makes, lists and deletes volumes."""

    def create(self, name: str, *, region: str, capacity_gb: int, interface: Interface) -> Volume:
        """Make a volume and return it, empty and unattached.

        Its region is the one asked for, or '' where nodes of every region can have it.

        Raises:
            NameTaken: a volume of the account has that name.
            InvalidRequest: the region, size or interface is not offered; the message says what is.
            QuotaExceeded: the account may not hold this much.
            Transient: no answer; look for the name before repeating.
        """
        ...

    def volumes(self) -> Sequence[Volume]:
        """Return the account's volumes, deleted ones left out, oldest first; may be repeated."""
        ...

    def attach(self, attachment: Attachment, *, bid_id: str) -> None:
        """Have the nodes of a paused bid have a volume from their next start on, beside those that they have.

        Attaching it again does nothing.

        Raises:
            NotFound: there is no such bid or volume; nothing was changed, here and below.
            Conflict: the bid isn't paused, or has ended.
            InvalidRequest: the volume lies in another region, or is block storage and the bid has several nodes.
            InUse: it is block storage, and another live bid has it.
            Unsupported: this provider can't change what a bid has.
        """
        ...

    def delete(self, volume_id: str) -> None:
        """Delete a volume and what it holds; deleting one that is gone does nothing.

        Raises:
            InUse: a live bid has it attached; nothing was deleted.
        """
        ...
