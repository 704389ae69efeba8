"""Changing a live bid: its limit, and whether it competes."""

from __future__ import annotations

from flow_core.domain.money import Price
from flow_core.domain.record import Step, TaskRecord
from flow_core.domain.status import TaskView
from flow_core.errors import Conflict, FlowError, PriceTooLow, Transient
from flow_core.services.looking import look
from flow_core.services.placing import note
from flow_core.services.ports import Ports


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
