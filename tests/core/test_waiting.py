"""Why a bid waits, in words that follow from its limit and the market."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from flow_core.domain.bid import Bid, BidState, Quote
from flow_core.domain.money import Price
from flow_core.domain.record import Step, TaskRecord
from flow_core.domain.shape import parse_shape
from flow_core.domain.status import TaskView
from flow_core.domain.task import TaskSpec
from flow_core.domain.waiting import waiting

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
SHAPE = parse_shape("8xh100")
LIMIT = Price.parse("2.10")


@pytest.mark.parametrize(
    ("price", "free", "words"),
    [
        ("2.35", 4, "the $2.10/hr limit is under the clearing price of $2.35/hr in r"),
        ("2.10", 4, "the $2.10/hr limit is no more than the clearing price in r"),
        ("2.00", 1, "1 of 2 instances are free in r"),
        ("2.00", 4, "the market looks at it next round ($2.10/hr limit, $2.00/hr now, r)"),
    ],
)
def test_a_bid_that_waits_says_for_what(price: str, free: int, words: str):
    """A limit that can't win is told with the price, as is a market that is full; else the next round decides."""
    spec = TaskSpec(command="true", name="t", instance_type=SHAPE, num_instances=2)
    record = TaskRecord(
        token="f1",
        name="t",
        provider="p",
        spec=spec,
        created_at=NOW,
        step=Step.PLACED,
        bid_id="bid_1",
        bid_state=BidState.OPEN,
        limit=LIMIT,
    )
    bid = Bid(
        id="bid_1",
        name="t-f1",
        state=BidState.OPEN,
        shape=SHAPE,
        region="r",
        quantity=2,
        limit=LIMIT,
        created_at=NOW,
    )
    quote = Quote(
        type_id="it_1",
        shape=SHAPE,
        region="r",
        price=Price.parse(price),
        floor=Price.parse("1"),
        as_of=NOW,
        available=free,
    )
    view = TaskView(record=record, bid=bid)
    found = waiting(view, quote, NOW + timedelta(seconds=41))

    assert found is not None
    assert f"bid placed; {words} (41s); then its nodes start" == found.text(
        NOW + timedelta(seconds=41)
    )
