"""The volumes role: storage that outlives tasks."""

from __future__ import annotations

from flow_core.domain.allocation import Node
from flow_core.domain.bid import Bid, BidState
from flow_core.domain.volume import Attachment, Interface, Volume
from flow_core.errors import (
    Conflict,
    InUse,
    InvalidRequest,
    NameTaken,
    NotFound,
    QuotaExceeded,
    Transient,
    Unsupported,
)
from flow_providers.conformance.bed import Bed, refuses
from flow_providers.conformance.contracts.base import Contract
from flow_providers.conformance.stating import states

_PATH = "/kit-data"


class VolumesContract(Contract):
    """Everything that `flow_core.ports.volumes.Volumes` promises."""

    @states("volumes.Volumes", "Makes, lists and deletes volumes.")
    def test_a_volume_is_made_listed_and_deleted(self, bed: Bed) -> None:
        """A volume is in the list from its making to its deletion."""
        volume = bed.create_volume()
        made = _ids(bed)
        bed.volumes.delete(volume.id)

        assert volume.id in made
        assert volume.id not in _ids(bed)

    @states("volumes.Volumes", "Makes, lists and deletes volumes.")
    def test_a_volume_outlives_the_bid_that_wrote_to_it(self, bed: Bed) -> None:
        """What one bid's node wrote to a volume, the node of a later bid reads."""
        bed.need_commands()
        volume = bed.create_volume()
        bid, node = _attached(bed, volume)
        wrote = bed.answer(node, f"echo kept > {_PATH}/file; sync")
        _end(bed, bid)
        _, later = _attached(bed, volume)

        assert 0 == wrote.code
        assert b"kept\n" == bed.answer(later, f"cat {_PATH}/file").out

    @states("volumes.create", "Make a volume and return it, empty and unattached.")
    def test_a_new_volume_is_what_was_asked_for(self, bed: Bed) -> None:
        """The volume returned has the name, region, size and interface asked for, and nobody uses it."""
        region = bed.quote().region
        volume = bed.create_volume(region=region)

        assert volume.reaches(region)
        assert bed.rig.a_capacity_gb() == volume.capacity_gb
        assert Interface.FILE is volume.interface
        assert () == volume.attached_to
        assert [volume] == [each for each in bed.volumes.volumes() if each.name == volume.name]

    @states(
        "volumes.create",
        "Its region is the one asked for, or '' where nodes of every region can have it.",
    )
    def test_a_volume_without_a_region_is_everywhere(self, bed: Bed) -> None:
        """A volume is in the region asked for; one that is in none can be attached in another."""
        region = bed.quote().region
        volume = bed.create_volume(region=region)
        if volume.region:
            assert region == volume.region
            return
        others = {each.region for each in bed.market.quotes()} - {region}
        for other in [region, *sorted(others)[:1]]:
            bid, _ = _attached(bed, volume, region=other)
            assert (bid.id,) == _volume(bed, volume.id).attached_to
            _end(bed, bid)
            bed.until("the volume free", lambda: not _volume(bed, volume.id).attached_to)

    @states("volumes.create", "Make a volume and return it, empty and unattached.")
    def test_a_new_volume_is_empty(self, bed: Bed) -> None:
        """A node that has a new volume attached finds nothing of anyone's in it."""
        bed.need_commands()
        _, node = _attached(bed, bed.create_volume())
        answer = bed.answer(node, f"cd {_PATH} && ls -A | grep -vx lost+found")

        assert b"" == answer.out

    @states("volumes.create", "NameTaken: a volume of the account has that name.")
    def test_a_volume_name_is_taken_once(self, bed: Bed) -> None:
        """A second volume of a name raises NameTaken, and there is still one."""
        volume = bed.create_volume()

        refuses(
            NameTaken, lambda: bed.create_volume(region=volume.region or None, name=volume.name)
        )

        assert [volume.id] == [
            each.id for each in bed.volumes.volumes() if each.name == volume.name
        ]

    @states(
        "volumes.create",
        "InvalidRequest: the region, size or interface is not offered; the message says what is.",
    )
    def test_a_volume_that_is_not_offered_is_refused(self, bed: Bed) -> None:
        """A region that is nowhere raises InvalidRequest that names a real one; a size of nothing is refused too."""
        volumes, region = bed.volumes, bed.quote().region
        regions = {quote.region for quote in bed.market.quotes()}
        before = _ids(bed)
        error = refuses(InvalidRequest, lambda: bed.create_volume(region=bed.rig.no_such_id))
        refuses(
            InvalidRequest,
            lambda: volumes.create(
                "kit-nothing", region=region, capacity_gb=0, interface=Interface.FILE
            ),
        )

        assert any(each in f"{error.message} {error.hint}" for each in regions)
        assert before == _ids(bed)

    @states("volumes.create", "QuotaExceeded: the account may not hold this much.")
    def test_more_storage_than_the_quota_is_refused(self, bed: Bed) -> None:
        """On an account that may hold less than one volume, making one raises QuotaExceeded and makes none."""
        volumes = bed.volumes
        bed.control("volume_quota", bed.rig.controls.volume_quota)(bed.rig.a_capacity_gb() - 1)

        refuses(QuotaExceeded, bed.create_volume)

        assert [] == list(volumes.volumes())

    @states("volumes.create", "Transient: no answer; look for the name before repeating.")
    def test_a_volume_whose_making_was_not_heard_is_found_by_name(self, bed: Bed) -> None:
        """When the answer is lost, the volume is in the list under its name, once."""
        volumes, region = bed.volumes, bed.quote().region
        bed.control("fail_after", bed.rig.controls.fail_after)("volumes.create")
        name = bed.new_volume_name()

        refuses(Transient, lambda: bed.create_volume(region=region, name=name))

        assert [name] == [each.name for each in volumes.volumes() if each.name == name]

    @states(
        "volumes.volumes",
        "Return the account's volumes, deleted ones left out, oldest first; may be repeated.",
    )
    def test_volumes_are_listed_oldest_first(self, bed: Bed) -> None:
        """Volumes come in the order of their making, without deleted ones, the same each time."""
        made = []
        for _ in range(3):
            made.append(bed.create_volume())
            bed.let_pass(bed.rig.resolution_s)
        bed.volumes.delete(made[1].id)
        ours = {volume.id for volume in made}
        listed = [volume.id for volume in bed.volumes.volumes() if volume.id in ours]

        assert [made[0].id, made[2].id] == listed
        assert listed == [volume.id for volume in bed.volumes.volumes() if volume.id in ours]

    @states(
        "volumes.attach",
        "Have the nodes of a paused bid have a volume from their next start on, beside those that they have.",
    )
    def test_a_volume_is_given_to_a_paused_bid(self, bed: Bed) -> None:
        """A node that started with one volume has both once its bid was paused, given another, and resumed."""
        first = bed.create_volume()
        bid, _ = _attached(bed, first)
        second = bed.create_volume(region=bid.region)
        _paused(bed, bid)
        _given(bed, second, bid)
        bed.amended(bid, paused=False)
        node = bed.nodes_up(bid).nodes[0]

        assert (bid.id,) == _volume(bed, first.id).attached_to
        assert (bid.id,) == _volume(bed, second.id).attached_to
        if bed.rig.runs_commands:
            path = _own_path(second)
            assert 0 == bed.answer(node, f"echo here > {path}/file && cat {path}/file").code

    @states("volumes.attach", "Attaching it again does nothing.")
    def test_a_volume_given_twice_is_there_once(self, bed: Bed) -> None:
        """Giving a bid the same volume again changes nothing."""
        volume = bed.create_volume()
        bid = bed.place(bed.request(quote=bed.quote(region=volume.region or None)))
        _paused(bed, bid)
        _given(bed, volume, bid)
        _given(bed, volume, bid)

        assert (bid.id,) == _volume(bed, volume.id).attached_to

    @states(
        "volumes.attach",
        "NotFound: there is no such bid or volume; nothing was changed, here and below.",
    )
    def test_only_what_there_is_is_attached(self, bed: Bed) -> None:
        """A bid that is nobody's, and a volume that is nobody's, raise NotFound."""
        volume = bed.create_volume()
        bid = bed.place(bed.request(quote=bed.quote(region=volume.region or None)))
        _paused(bed, bid)
        _given(bed, volume, bid)
        nobodys = Attachment(volume_id=bed.rig.no_such_id, path="/mnt/no", name="no")

        refuses(NotFound, lambda: bed.volumes.attach(nobodys, bid_id=bid.id))
        refuses(NotFound, lambda: _attach(bed, volume, bed.rig.no_such_id))

    @states("volumes.attach", "Conflict: the bid isn't paused, or has ended.")
    def test_a_bid_that_competes_takes_no_volume(self, bed: Bed) -> None:
        """A bid that isn't paused, and one that has ended, raise Conflict, and the volume stays free."""
        volume = bed.create_volume()
        bid = bed.place(bed.request(quote=bed.quote(region=volume.region or None)))
        try:
            refuses(Conflict, lambda: _attach(bed, volume, bid.id))
        except Unsupported:
            bed.lack("attach")
        bed.market.withdraw(bid.id)
        bed.until("the bid ended", lambda: not bed.market.bid(bid.id).is_live)
        refuses(Conflict, lambda: _attach(bed, volume, bid.id))

        assert () == _volume(bed, volume.id).attached_to

    @states(
        "volumes.attach",
        "InvalidRequest: the volume lies in another region, or is block storage and the bid has several nodes.",
    )
    def test_a_volume_that_can_not_be_reached_is_not_attached(self, bed: Bed) -> None:
        """A volume of another region raises InvalidRequest, and the bid stays as it was."""
        quote = bed.quote()
        others = {each.region for each in bed.market.quotes()} - {quote.region}
        bid = bed.place(bed.request(quote=quote))
        if others:
            volume = bed.create_volume(region=min(others))
            if not volume.region:
                bed.lack("regions")
            _paused(bed, bid)
            try:
                refuses(InvalidRequest, lambda: _attach(bed, volume, bid.id))
            except Unsupported:
                bed.lack("attach")
            assert () == _volume(bed, volume.id).attached_to

    @states("volumes.attach", "InUse: it is block storage, and another live bid has it.")
    def test_block_storage_is_attached_once(self, bed: Bed) -> None:
        """A block volume that a bid has raises InUse for the next, until the first has ended."""
        quote = bed.quote()
        first, second = (bed.place(bed.request(quote=quote)) for _ in range(2))
        for bid in (first, second):
            _paused(bed, bid)
        try:
            volume = bed.create_volume(region=quote.region, interface=Interface.BLOCK)
        except InvalidRequest:
            bed.lack("block")
        _given(bed, volume, first)

        refuses(InUse, lambda: _attach(bed, volume, second.id))
        bed.market.withdraw(first.id)
        bed.until("the volume free", lambda: not _volume(bed, volume.id).attached_to)
        _attach(bed, volume, second.id)

    @states("volumes.attach", "Unsupported: this provider can't change what a bid has.")
    def test_a_volume_is_attached_or_refused(self, bed: Bed) -> None:
        """A provider that can't attach raises Unsupported whatever it is asked; others do it, and it is seen."""
        volume = bed.create_volume()
        bid = bed.place(bed.request(quote=bed.quote(region=volume.region or None)))
        try:
            bed.market.amend(bid.id, paused=True)
            bed.until("the bid paused", lambda: bed.state(bid) is BidState.PAUSED)
        except Unsupported:
            pass
        try:
            _attach(bed, volume, bid.id)
            expected: tuple[str, ...] = (bid.id,)
        except Unsupported:
            expected = ()

        assert expected == _volume(bed, volume.id).attached_to

    @states(
        "volumes.delete",
        "Delete a volume and what it holds; deleting one that is gone does nothing.",
    )
    def test_deleting_again_does_nothing(self, bed: Bed) -> None:
        """Deleting a volume twice, or an id that is nobody's, raises nothing and deletes nothing else."""
        gone, other = bed.create_volume(), bed.create_volume()
        bed.volumes.delete(gone.id)
        bed.volumes.delete(gone.id)
        bed.volumes.delete(bed.rig.no_such_id)

        assert gone.id not in _ids(bed)
        assert other.id in _ids(bed)

    @states(
        "volumes.delete",
        "Delete a volume and what it holds; deleting one that is gone does nothing.",
    )
    def test_a_deleted_volume_s_files_are_gone(self, bed: Bed) -> None:
        """A new volume of a deleted one's name holds none of its files."""
        bed.need_commands()
        first = bed.create_volume()
        bid, node = _attached(bed, first)
        bed.answer(node, f"echo old > {_PATH}/file; sync")
        _end(bed, bid)
        bed.until("the volume free", lambda: not _volume(bed, first.id).attached_to)
        bed.volumes.delete(first.id)
        _, node = _attached(bed, bed.create_volume(region=first.region or None, name=first.name))

        assert 0 != bed.answer(node, f"cat {_PATH}/file").code

    @states("volumes.delete", "InUse: a live bid has it attached; nothing was deleted.")
    def test_a_volume_in_use_is_not_deleted(self, bed: Bed) -> None:
        """A volume that a live bid has attached raises InUse and stays; once the bid is gone it can go."""
        volume = bed.create_volume()
        bid, _ = _attached(bed, volume)

        refuses(InUse, lambda: bed.volumes.delete(volume.id))

        assert (bid.id,) == _volume(bed, volume.id).attached_to
        _end(bed, bid)
        bed.until("the volume free", lambda: not _volume(bed, volume.id).attached_to)
        bed.volumes.delete(volume.id)
        assert volume.id not in _ids(bed)


def _ids(bed: Bed) -> set[str]:
    return {volume.id for volume in bed.volumes.volumes()}


def _volume(bed: Bed, volume_id: str) -> Volume:
    return next(volume for volume in bed.volumes.volumes() if volume.id == volume_id)


def _attached(bed: Bed, volume: Volume, *, region: str = "") -> tuple[Bid, Node]:
    """Grant a bid that has `volume` attached, in its region, and return its only node."""
    quote = bed.quote(region=region or volume.region or None)
    attachment = Attachment(volume_id=volume.id, path=_PATH, name=volume.name)
    bid, allocation = bed.granted(bed.request(quote=quote, attachments=(attachment,)))
    return bid, allocation.nodes[0]


def _paused(bed: Bed, bid: Bid) -> None:
    """Pause a bid and wait until it is seen to be, or skip where this provider can't."""
    bed.amended(bid, paused=True)
    bed.until("the bid paused", lambda: bed.state(bid) is BidState.PAUSED)
    bed.nodes_down(bid)


def _attach(bed: Bed, volume: Volume, bid_id: str) -> None:
    attachment = Attachment(volume_id=volume.id, path=_own_path(volume), name=volume.name)
    bed.volumes.attach(attachment, bid_id=bid_id)


def _given(bed: Bed, volume: Volume, bid: Bid) -> None:
    """Attach a volume, or skip where this provider can't."""
    try:
        _attach(bed, volume, bid.id)
    except Unsupported:
        bed.lack("attach")


def _own_path(volume: Volume) -> str:
    return f"/mnt/{volume.name}"


def _end(bed: Bed, bid: Bid) -> None:
    bed.market.withdraw(bid.id)
    bed.until("no node held", lambda: not bed.allocation(bid).nodes)
