"""Usage: paid time joined from statuses and prices."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from flow_core.domain.budget import spent
from flow_core.domain.money import Price, Spend
from flow_providers.mithril.encoding import when
from flow_providers.mithril.usage import Paid, laid_over
from tests.mithril.desk import BID, Reply, body
from tests.strategies import EPOCH

STATUSES = "GET /v2/instances/status/history"
PRICES = "GET /v2/instances/pricing/history"


def at(text):
    """A time of the example's day."""
    return when(f"2026-03-01T{text}:00Z")


def test_starting_and_preempted_time_is_free(desk, mithril):
    """Two nodes that start at 10:02, run from 10:06 and stop at 12:05 are paid for while they run, at each price."""
    desk.on(STATUSES, body("status_history"))
    desk.on(PRICES, body("pricing_history"))
    usage = mithril.usage.usage([BID])[BID]

    assert [
        (2, Price.parse("10"), at("10:06"), at("11:00")),
        (2, Price.parse("12"), at("11:00"), at("12:05")),
    ] == [(each.nodes, each.price, each.since, each.until) for each in usage]
    # 2 nodes x (54 min at $10 + 65 min at $12)
    assert Spend.parse("44") == spent(usage, at("18:00"))


def test_the_last_stretch_is_open_while_nodes_are_held(desk, mithril):
    """Nodes that still run are paid for without an end."""
    told = body("status_history")
    for each in told["instances"]:
        each["events"] = each["events"][:2]
    desk.on(STATUSES, told)
    desk.on(PRICES, body("pricing_history"))
    usage = mithril.usage.usage([BID])[BID]

    assert [at("11:00"), None] == [each.until for each in usage]


def test_a_price_without_a_status_is_paid(desk, mithril):
    """Where Mithril tells no status of an instance, its prices alone count."""
    desk.on(STATUSES, {"instances": []})
    desk.on(PRICES, body("pricing_history"))

    assert at("10:02") == mithril.usage.usage([BID])[BID][0].since


def test_many_bids_are_one_sweep(desk, mithril):
    """More than a few bids are answered by two listings of the project, from the eldest bid on."""
    ids = [f"bid_{i}" for i in range(6)]
    for each in ids:
        desk.on(f"GET /v2/spot/bids/{each}", {**body("bid"), "fid": each})
    desk.on(STATUSES, body("status_history"))
    desk.on(PRICES, body("pricing_history"))
    desk.on(f"GET /v2/spot/bids/{BID}", body("bid"))
    usage = mithril.usage.usage([*ids, BID])

    assert {*ids, BID} == set(usage)
    assert 2 == len(usage[BID])
    assert all(not usage[each] for each in ids)
    assert 1 == len(desk.asked_for(STATUSES))
    assert "2026-03-01T09:59:00Z" == desk.asked_for(STATUSES)[0].url.params["start_time"]


def test_every_id_is_answered(desk, mithril):
    """An id that is nobody's has no stretches, whether Mithril knows nothing of it or refuses it."""
    for answer in ({"instances": [], "next_cursor": None}, Reply({"detail": "no"}, 404)):
        desk.on(STATUSES, answer)
        desk.on(PRICES, answer)
        assert {"bid_x": []} == mithril.usage.usage(["bid_x"])
    assert {} == mithril.usage.usage([])


def test_nodes_that_come_and_go_part_the_stretches():
    """A stretch ends where the number of nodes changes, and equal neighbours are one."""
    ten = Price.parse("10")
    first = Paid(at("10:00"), at("12:00"), ten)
    second = Paid(at("11:00"), at("11:30"), ten)
    third = Paid(at("12:00"), None, ten)
    found = laid_over(BID, [third, second, first])

    assert [
        (1, at("10:00"), at("11:00")),
        (2, at("11:00"), at("11:30")),
        (1, at("11:30"), None),
    ] == [(each.nodes, each.since, each.until) for each in found]


moments = st.integers(0, 10**6).map(lambda seconds: EPOCH + timedelta(seconds=seconds))
paid = st.builds(
    lambda start, length, open_, cents: Paid(
        start, None if open_ else start + timedelta(seconds=length), Price.from_cents(cents)
    ),
    moments,
    st.integers(1, 10**5),
    st.booleans(),
    st.integers(0, 3).map(lambda n: n * 3600),
)


@given(st.lists(paid, max_size=6))
def test_laying_over_loses_no_money(pieces):
    """Stretches don't overlap, come in order, and cost together what the pieces cost alone."""
    now = EPOCH + timedelta(seconds=2 * 10**6)
    found = laid_over(BID, pieces)
    alone = sum((each.price.over((each.until or now) - each.since) for each in pieces), Spend.ZERO)

    assert alone == spent(found, now)
    for one, following in pairwise(found):
        assert one.until is not None
        assert one.since < one.until <= following.since
