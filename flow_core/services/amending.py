"""Changing a live bid: its limit, whether it competes, and what volumes its nodes have."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from flow_core.domain.bid import BidState
from flow_core.domain.money import Price
from flow_core.domain.record import Step, TaskRecord
from flow_core.domain.volume import Attachment, Interface
from flow_core.errors import Conflict, FlowError, InUse, InvalidRequest, PriceTooLow, Transient
from flow_core.services.looking import look
from flow_core.services.placing import note
from flow_core.services.polling import intervals
from flow_core.services.storage import Storage

if TYPE_CHECKING:
    from flow_core.domain.status import TaskView
    from flow_core.ports.volumes import Volumes
    from flow_core.services.ports import Ports

#: How often a provider is asked that hasn't taken in yet that the bid is paused.
_TRIES = 5


class Amending:
    """Changes what was bid, by the task's name."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    def limit(self, name: str, price: Price) -> TaskView:
        """Bid `price` per instance-hour from now on, and return what is known then.

        A higher limit is in the journal before the provider has it, a lower one after: a ceiling on spending that is
        reckoned from it never counts on too little.

        Raises:
            PriceTooLow: nothing, or under the market's floor; the limit is as it was.
            Conflict: there is no live bid.
            Transient: no answer; the higher of the two limits is reckoned with.
        """
        record = self._live(name)
        if price == Price.ZERO:
            raise PriceTooLow("the limit is $0.00; a bid of nothing wins nothing")
        before = record.limit
        self._ports.journal.update(record.token, limit=max(before, price))
        try:
            bid = self._ports.provider.market.amend(_bid_id(record), limit=price)
        except Transient:
            raise
        except FlowError:
            self._ports.journal.update(record.token, limit=before)
            raise
        self._ports.journal.update(record.token, limit=bid.limit)
        note(self._ports, record.token, f"the limit was changed from {before}/hr to {bid.limit}/hr")
        return self._seen(record)

    def pause(self, name: str) -> TaskView:
        """Have the bid give its nodes back, boot disks kept, and compete no more; paused twice is paused once.

        Raises:
            Conflict: there is no live bid.
            Unsupported: the provider can't pause.
        """
        return self._set_paused(name, paused=True)

    def resume(self, name: str) -> TaskView:
        """Have a paused bid compete again; one that isn't paused stays as it is.

        Raises:
            Conflict: there is no live bid.
            Unsupported: the provider can't pause.
        """
        return self._set_paused(name, paused=False)

    def attach(self, name: str, volume_name: str) -> str:
        """Give a volume to a task that is placed, and return the path at which its nodes will have it.

        A bid takes volumes while it is paused. One that isn't paused is, for as long as that takes: its nodes go and
        come back, boot disks kept, and its command starts anew. It is resumed whatever comes of the volume. A volume
        that the bid has already changes nothing.

        Raises:
            NotFound: there is no such task or volume.
            Conflict: there is no live bid, or it runs on a reservation.
            InvalidRequest: the volume lies in another region, or is block storage and the task has several nodes.
            InUse: it is block storage, and something else has it.
            Unsupported: the provider can't pause, or can't change what a bid has.
        """
        record = self._live(name)
        provider, bid_id = self._ports.provider, _bid_id(record)
        if record.spec.reservation is not None:
            raise Conflict(f"{record.name!r} runs on a reservation, whose volumes stay as they are")
        role = provider.need_volumes()
        volume = Storage(self._ports).volume(volume_name)
        path = f"/mnt/{volume.name}"
        if bid_id in volume.attached_to:
            return path
        if not volume.reaches(record.region):
            problem = f"volume {volume.name!r} lies in {volume.region}, {record.name!r} in {record.region}"
            raise InvalidRequest({"volume": problem})
        if volume.interface is Interface.BLOCK and record.spec.num_instances > 1:
            problem = f"{volume.name!r} is block storage, which belongs to one node, not {record.spec.num_instances}"
            raise InvalidRequest({"volume": problem})
        if volume.interface is Interface.BLOCK and volume.attached_to:
            raise InUse(f"{volume.name!r} is block storage, and something else has it")
        was_paused = provider.market.bid(bid_id).state is BidState.PAUSED
        if not was_paused:
            self._set_paused(name, paused=True)
        try:
            self._attach(role, Attachment(volume_id=volume.id, path=path, name=volume.name), bid_id)
            note(self._ports, record.token, f"volume {volume.name} was attached at {path}")
        finally:
            if not was_paused:
                self._set_paused(name, paused=False)
        return path

    def _attach(self, role: Volumes, attachment: Attachment, bid_id: str) -> None:
        """Attach, asking again while a pause that was just asked for has yet to be taken in."""
        for wait in islice(intervals(self._ports.provider.limits.poll_s), _TRIES):
            try:
                return role.attach(attachment, bid_id=bid_id)
            except (Conflict, Transient):
                self._ports.clock.sleep(wait)
        return role.attach(attachment, bid_id=bid_id)

    def _set_paused(self, name: str, *, paused: bool) -> TaskView:
        record = self._live(name)
        self._ports.watch.ensure()
        self._ports.provider.market.amend(_bid_id(record), paused=paused)
        note(self._ports, record.token, "a pause was asked for" if paused else "it was resumed")
        return self._seen(record)

    def _live(self, name: str) -> TaskRecord:
        record = self._ports.journal.find(name, provider=self._ports.provider.name)
        if record.step is not Step.PLACED or record.bid_id is None:
            raise Conflict(
                f"{record.name!r} has no bid to change",
                hint=f"`flow status {record.name}` says how it stands",
            )
        if record.released or record.cancel_asked:
            raise Conflict(f"{record.name!r} has ended, and its bid with it")
        return record

    def _seen(self, record: TaskRecord) -> TaskView:
        return look(self._ports, [self._ports.journal.find(record.token)])[0]


def _bid_id(record: TaskRecord) -> str:
    return record.bid_id or ""
