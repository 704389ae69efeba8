"""Volumes by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from flow_core.domain.names import problem_with_name, readable_name
from flow_core.domain.volume import Interface, Volume
from flow_core.errors import InUse, InvalidRequest, NotFound

if TYPE_CHECKING:
    from flow_core.services.ports import Ports

#: The largest volume that can be asked for, in GB; providers have lower limits of their own.
MAX_CAPACITY_GB = 2_000_000


class Storage:
    """What users do with volumes."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    def create(
        self,
        *,
        capacity_gb: int,
        interface: Interface = Interface.FILE,
        name: str | None = None,
        region: str | None = None,
    ) -> Volume:
        """Make a volume; without a name it gets a readable one, without a region the default or the cheapest one's.

        Raises:
            InvalidRequest: with all problems of the request.
            NameTaken, QuotaExceeded, Unsupported: see `ports.volumes.Volumes.create`.
        """
        role = self._ports.provider.need_volumes()
        problems: dict[str, str] = {}
        if not 1 <= capacity_gb <= MAX_CAPACITY_GB:
            problems["size"] = f"{capacity_gb} GB can't be made; ask for 1 to {MAX_CAPACITY_GB:,}"
        if name is not None and (problem := problem_with_name(name)):
            problems["name"] = problem
        quotes = self._ports.provider.market.quotes()
        regions = sorted({quote.region for quote in quotes})
        if region is not None and region not in regions:
            problems["region"] = (
                f"{region!r} is no region of {self._ports.provider.name}; there are {', '.join(regions)}"
            )
        if problems:
            raise InvalidRequest(problems)
        name = name or readable_name(
            self._ports.chance, taken=[volume.name for volume in role.volumes()]
        )
        where = (
            region
            or self._ports.defaults.region
            or min(quotes, key=lambda quote: (quote.price, quote.region)).region
        )
        return role.create(name, region=where, capacity_gb=capacity_gb, interface=interface)

    def volumes(self) -> Sequence[Volume]:
        """Return all volumes, oldest first."""
        return self._ports.provider.need_volumes().volumes()

    def volume(self, name: str) -> Volume:
        """Return one volume by name or id.

        Raises:
            NotFound: with the names there are.
        """
        volumes = self.volumes()
        for volume in volumes:
            if name in (volume.name, volume.id):
                return volume
        known = ", ".join(volume.name for volume in volumes) or "none"
        raise NotFound(f"no volume is named {name!r}", hint=f"volumes: {known}")

    def delete(self, name: str) -> Volume:
        """Delete a volume by name or id and return what it was.

        Raises:
            InUse: a task of the account uses it; the message names the task.
        """
        volume = self.volume(name)
        if volume.attached_to:
            users = [
                record.name
                for record in self._ports.journal.live()
                if record.bid_id in volume.attached_to
            ]
            raise InUse(
                f"volume {volume.name!r} is in use by {', '.join(users) or volume.attached_to[0]}",
                hint="end that first",
            )
        self._ports.provider.need_volumes().delete(volume.id)
        return volume
