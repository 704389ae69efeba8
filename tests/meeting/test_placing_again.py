"""A request placed again after its bid was withdrawn makes a new bid, whatever a server remembers of its first answer.

The simulator, like servers that honour an idempotency key, repeats the first answer word for word: it says `Open` of a
bid that has ended since.
"""

from __future__ import annotations

import pytest

from flow_adapters.clocks import ManualClock
from flow_core.domain.bid import BidRequest, Launch
from flow_core.domain.shape import parse_shape
from flow_core.errors import Transient
from flow_core.ports.provider import Provider
from flow_providers.mock.http import troubles
from flow_providers.mock.http.service import Service, in_memory
from flow_providers.mock.http.transport import DoorTransport
from flow_providers.mock.memory_nodes import MemoryNodes
from tests.meeting.site import BIDS, connect, told_shell, trouble, whereabouts


class Ground:
    """A service, the adapter at it, and one request."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.nodes = MemoryNodes(self.clock)
        self.service: Service = in_memory(self.clock, host=self.nodes, whereabouts=whereabouts)
        self.market = self.provider().market
        quote = self.market.quotes(parse_shape("8xh100"))[0]
        self.request = BidRequest(
            name="one-4kq2m7xr",
            type_id=quote.type_id,
            shape=quote.shape,
            region=quote.region,
            quantity=1,
            limit=quote.price * 2,
            launch=Launch(script="#!/bin/bash\nsleep infinity\n"),
        )

    def provider(self) -> Provider:
        """What a new process would hold."""
        return connect(
            self.service,
            clock=self.clock,
            shell=told_shell(self.nodes),
            transport=DoorTransport(self.service.handle),
        )

    def live(self) -> list[str]:
        """The live bids, as the service counts them."""
        return self.service.engine.look(
            None, lambda world, _: [row.id for row in world.bids.live()]
        )


@pytest.fixture
def ground() -> Ground:
    """A new one."""
    return Ground()


def test_placed_again_after_a_withdrawal_is_another_bid(ground):
    """Each of three placings, with a withdrawal in between, returns a live bid of its own."""
    made = []
    for _ in range(3):
        bid = ground.market.place(ground.request)
        made.append(bid.id)

        assert [bid.id] == ground.live()
        assert ground.market.bid(bid.id).is_live
        ground.market.withdraw(bid.id)
        ground.clock.advance(minutes=1)

    assert 3 == len(set(made))


def test_placed_again_by_another_process_is_another_bid(ground):
    """A process that knows nothing of the first bid but its name gets a live one too."""
    first = ground.market.place(ground.request)
    ground.market.withdraw(first.id)
    second = ground.provider().market.place(ground.request)

    assert [second.id] == ground.live()
    assert first.id != second.id


def test_an_unheard_second_placing_is_still_one_bid(ground):
    """The second bid, its answer lost, is found by its key and its name alike: there is one."""
    ground.market.withdraw(ground.market.place(ground.request).id)
    trouble(ground.service, kind=troubles.DROP, when=troubles.AFTER, method="POST", path=BIDS)
    with pytest.raises(Transient):
        ground.market.place(ground.request)
    again = ground.market.place(ground.request)

    assert [again.id] == ground.live()


def test_an_ended_bid_that_is_not_listed_yet_is_not_taken_for_a_live_one(ground):
    """Where listings lag and so hide the ended bid, the repeated answer about it is not believed."""
    ground.service.control.lag_listing(60)
    made = []
    for _ in range(3):
        bid = ground.market.place(ground.request)
        made.append(bid.id)

        assert [bid.id] == ground.live()
        ground.market.withdraw(bid.id)
        ground.clock.advance(seconds=10)

    assert 3 == len(set(made))
