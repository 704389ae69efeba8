"""Changing bids and giving them back."""

from __future__ import annotations

import json
from datetime import timedelta

import httpx
import pytest

from flow_core.domain.bid import BidState
from flow_core.domain.money import Price
from flow_core.domain.volume import Attachment
from flow_core.errors import Conflict
from tests.mithril.desk import BID, Reply, body

BIDS = "GET /v2/spot/bids"
ONE = f"/v2/spot/bids/{BID}"


def test_amending_sends_what_changes(desk, mithril):
    """Only what was given is sent."""
    desk.on(f"PATCH {ONE}", {**body("bid"), "limit_price": "$30.00"})
    bid = mithril.market.amend(BID, limit=Price.parse("30"))

    assert Price.parse("30") == bid.limit
    assert {"limit_price": "$30.00"} == desk.sent(f"PATCH {ONE}")


def test_a_change_made_twice_is_one_change(desk, mithril):
    """A refusal to pause what is paused already counts as done."""
    desk.on(f"PATCH {ONE}", Reply({"detail": "Bid is already paused"}, 400))
    desk.on(f"GET {ONE}", {**body("bid"), "status": "Paused"})

    assert BidState.PAUSED is mithril.market.amend(BID, paused=True).state


def test_an_ended_bid_can_t_be_amended(desk, mithril):
    """Whether Mithril refuses or shrugs, changing an ended bid is a conflict."""
    ended = {**body("bid"), "status": "Terminated"}
    desk.on(f"GET {ONE}", ended)
    for answer in (Reply({"detail": "Bid is not active"}, 400), ended):
        desk.on(f"PATCH {ONE}", answer)
        with pytest.raises(Conflict, match="has ended"):
            mithril.market.amend(BID, paused=True)


def test_attaching_sends_the_whole_list(desk, mithril):
    """A volume is sent with those that the bid has, to a bid that is paused; one that it has is not sent at all."""
    volume = body("volumes")[0]
    free = {
        **volume,
        "fid": "vol_Ff6Gg7Hh8Ii9Jj0K",
        "name": "more",
        "bids": [],
        "region": body("bid")["region"],
    }
    launch = {"volumes": ["vol_had"], "ssh_keys": [], "startup_script": None}
    paused = {**body("bid"), "status": "Paused", "launch_specification": launch}
    desk.on("GET /v2/volumes", [free])
    desk.on(f"GET {ONE}", paused)
    desk.on(f"PATCH {ONE}", paused)
    for volume_id in ("vol_had", free["fid"]):
        mithril.volumes.attach(Attachment(volume_id=volume_id, path="/mnt/more"), bid_id=BID)

    assert [{"volumes": ["vol_had", free["fid"]]}] == [
        json.loads(each.content) for each in desk.asked_for(f"PATCH {ONE}")
    ]


def test_a_bid_that_is_not_paused_is_sent_no_volume(desk, mithril):
    """Mithril changes volumes of paused bids only, so nothing is sent to another."""
    free = {
        **body("volumes")[0],
        "fid": "vol_Ff6Gg7Hh8Ii9Jj0K",
        "bids": [],
        "region": body("bid")["region"],
        "interface": "File",
    }
    desk.on("GET /v2/volumes", [free])
    desk.on(f"GET {ONE}", body("bid"))
    with pytest.raises(Conflict, match="must be paused"):
        mithril.volumes.attach(Attachment(volume_id=free["fid"], path="/mnt/x"), bid_id=BID)

    assert [] == desk.asked_for(f"PATCH {ONE}")


def test_withdrawing_is_done_when_nothing_is_there(desk, mithril):
    """A 204, a 404, and a refusal about a bid that has ended are all the same to the caller."""
    desk.on(f"GET {ONE}", {**body("bid"), "status": "Terminated"})
    for answer in (Reply(None, 204), Reply({}, 404), Reply({"detail": "already ended"}, 409)):
        desk.on(f"DELETE {ONE}", answer)
        mithril.market.withdraw(BID)
    mithril.market.withdraw("../me")

    assert 3 == len([each for each in desk.asked if each.method == "DELETE"])


def test_a_withdrawal_that_was_not_heard_is_repeated(desk, mithril):
    """A deletion is safe to send again, and is."""
    desk.on(f"DELETE {ONE}", httpx.ReadError("dropped"), Reply({"detail": "gone"}, 404))
    start = desk.clock.now()
    mithril.market.withdraw(BID)

    assert timedelta(seconds=0.5) == desk.clock.now() - start
