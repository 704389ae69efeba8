"""Volumes of the pretend cloud: they lie in a region, outlive bids, and can't go while in use."""

from __future__ import annotations

import pytest

from flow_core.domain.volume import Attachment, Interface
from flow_core.errors import InUse, InvalidRequest, NameTaken
from tests.mock.bidders import REGION, bid, cloud, market


def test_volume_in_use_can_not_be_deleted():
    """While a live bid mounts it, also an open one, it stays; afterwards it goes, and again does nothing."""
    pretend = cloud()
    volumes = pretend.provider.volumes
    data = volumes.create("data", region=REGION, capacity_gb=100, interface=Interface.FILE)
    placed = bid(pretend, "a", "5", volumes=(Attachment(volume_id=data.id, path="/data"),))
    in_use = volumes.volumes()[0].attached_to

    assert (placed.id,) == in_use
    with pytest.raises(InUse, match=placed.id):
        volumes.delete(data.id)
    pretend.provider.market.withdraw(placed.id)
    volumes.delete(data.id)
    volumes.delete(data.id)
    assert [] == volumes.volumes()
    assert set() == pretend.nodes.volumes


def test_volume_is_refused_with_all_its_problems():
    """Name, region and size are judged together; a name that is taken is another matter."""
    pretend = cloud()
    volumes = pretend.provider.volumes
    volumes.create("data", region=REGION, capacity_gb=100, interface=Interface.FILE)

    with pytest.raises(InvalidRequest) as refusal:
        volumes.create("-", region="moon", capacity_gb=10**6, interface=Interface.FILE)
    assert {"name", "region", "size"} == set(refusal.value.problems)
    with pytest.raises(NameTaken):
        volumes.create("data", region=REGION, capacity_gb=100, interface=Interface.FILE)
    assert 1 == len(volumes.volumes())


def test_mount_must_lie_where_the_nodes_are():
    """A volume of another region, or none at all, is refused, naming it; nothing was placed."""
    pretend = cloud(market(), market(region="us-east1-a"))
    far = pretend.provider.volumes.create(
        "far", region="us-east1-a", capacity_gb=1, interface=Interface.FILE
    )

    for volume_id, words in ((far.id, "lies in us-east1-a"), ("vol_x", "vol_x")):
        with pytest.raises(InvalidRequest, match=words):
            bid(pretend, "a", "5", volumes=(Attachment(volume_id=volume_id, path="/data"),))
    assert [] == pretend.provider.market.bids()


def test_block_volume_belongs_to_one_instance():
    """Two instances of a bid, or two bids, can't have one block volume."""
    pretend = cloud()
    disk = pretend.provider.volumes.create(
        "disk", region=REGION, capacity_gb=1, interface=Interface.BLOCK
    )
    mount = (Attachment(volume_id=disk.id, path="/data"),)

    with pytest.raises(InvalidRequest, match="one instance"):
        bid(pretend, "a", "5", quantity=2, volumes=mount)
    bid(pretend, "b", "5", volumes=mount)
    with pytest.raises(InvalidRequest, match="has already"):
        bid(pretend, "c", "5", volumes=mount)


def test_name_of_a_deleted_volume_is_free_again():
    """Names are unique among the volumes there are."""
    volumes = cloud().provider.volumes
    first = volumes.create("data", region=REGION, capacity_gb=1, interface=Interface.FILE)
    volumes.delete(first.id)
    second = volumes.create("data", region=REGION, capacity_gb=1, interface=Interface.FILE)

    assert first.id != second.id
