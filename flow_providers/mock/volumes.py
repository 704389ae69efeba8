"""The volumes role of the in-process door."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from attrs import evolve

from flow_core.domain.names import problem_with_name
from flow_core.domain.volume import Attachment, Interface, Volume
from flow_core.errors import InUse, InvalidRequest, NameTaken, QuotaExceeded
from flow_providers.mock import bidding
from flow_providers.mock.effects import effect
from flow_providers.mock.engine import Engine
from flow_providers.mock.rows import VolumeRow
from flow_providers.mock.world import World

#: The largest volume. Source: contract, section 2, `max_volume_size_tb` of CPU regions.
MOST_GB = 32_000
#: The name of the quota of storage, among those of instance types.
STORAGE = "Storage"
#: What a project may store while nothing else was said, all of its volumes together.
STORAGE_GB = 100 * MOST_GB


def stored_gb(world: World, project: str) -> int:
    """Return how much a project's volumes hold together."""
    return sum(
        volume.capacity_gb
        for volume in world.volumes.live()
        if (volume.project or world.meta.project) == project
    )


def storage_quota_gb(world: World) -> int:
    """Return how much a project may store."""
    quota = world.quotas.held(STORAGE)
    return quota.most if quota is not None else STORAGE_GB


def check_storage(world: World, project: str, capacity_gb: int) -> None:
    """See that a project may store so much more.

    Raises:
        QuotaExceeded: it may not.
    """
    wanted, most = stored_gb(world, project) + capacity_gb, storage_quota_gb(world)
    if wanted > most:
        raise QuotaExceeded(
            f"the project's volumes would hold {wanted:,} GB together, and {most:,} GB is its quota",
            hint="delete a volume that nobody needs any more",
        )


class PretendVolumes:
    """Implements `ports.volumes.Volumes`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def create(self, name: str, *, region: str, capacity_gb: int, interface: Interface) -> Volume:
        """See `Volumes.create`."""

        def act(world: World, now: datetime) -> Volume:
            regions = sorted({market.region for market in world.markets.live()})
            problems = {
                "name": problem_with_name(name),
                "region": None
                if region in regions
                else f"{region!r} is no region; there are {', '.join(regions)}",
                "size": None
                if 1 <= capacity_gb <= MOST_GB
                else f"{capacity_gb} GB can't be made; ask for 1 to {MOST_GB:,}",
            }
            if found := {field: text for field, text in problems.items() if text}:
                raise InvalidRequest(found)
            if world.volumes.named(name):
                raise NameTaken(
                    f"a volume is named {name!r}",
                    hint=f"choose another name, or `flow volume delete {name}`",
                )
            check_storage(world, world.meta.project, capacity_gb)
            number = world.draw()
            row = VolumeRow(
                id=world.new_id("vol"),
                number=number,
                name=name,
                region=region,
                capacity_gb=capacity_gb,
                interface=interface,
                created_at=now,
            )
            effect(world, "create-volume", row.id, now)
            return _volume(world, world.volumes.put(row))

        return self._engine.change("create", act)

    def volumes(self) -> Sequence[Volume]:
        """See `Volumes.volumes`."""
        return self._engine.look(
            "volumes", lambda world, _: [_volume(world, row) for row in world.volumes.live()]
        )

    def attach(self, attachment: Attachment, *, bid_id: str) -> None:
        """See `Volumes.attach`."""
        problem = self._engine.host.mount_problem((attachment,))
        if problem:
            raise InvalidRequest({"mounts": problem})
        self._engine.change("attach", lambda world, _: bidding.attach(world, bid_id, attachment))

    def delete(self, volume_id: str) -> None:
        """See `Volumes.delete`."""

        def act(world: World, now: datetime) -> None:
            row = world.volumes.held(volume_id)
            if row is None:
                return
            users = bidding.attached_to(world, volume_id)
            if users:
                raise InUse(
                    f"volume {row.name!r} is in use by {', '.join(users)}", hint="end that first"
                )
            world.volumes.put(evolve(row, deleted_at=now))
            effect(world, "delete-volume", row.id, now)

        self._engine.change("delete", act)


def _volume(world: World, row: VolumeRow) -> Volume:
    return Volume(
        id=row.id,
        name=row.name,
        region=row.region,
        capacity_gb=row.capacity_gb,
        interface=row.interface,
        created_at=row.created_at,
        attached_to=tuple(bidding.attached_to(world, row.id)),
    )
