"""Lists: bare or in pages, whole or not at all."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_core.errors import Transient
from flow_providers.mithril.encoding import instant, when
from tests.mithril.desk import Desk, body


def paged(bids, size):
    """An answer that pages through `bids`, by cursors that name where to go on."""

    def answer(request):
        start = int(request.url.params.get("next_cursor", 0))
        end = start + size
        return {
            "data": bids[start:end],
            "next_cursor": str(end) if end < len(bids) else None,
        }

    return answer


def numbered(count):
    """So many bids, each a second younger than the one before."""
    first = when("2026-03-01T10:00:00Z")
    return [
        {**body("bid"), "fid": f"bid_{i}", "created_at": instant(first + timedelta(seconds=i))}
        for i in range(count)
    ]


@given(st.integers(0, 25), st.integers(1, 10), st.sampled_from([1, 2]))
def test_every_page_is_read(count, size, lanes):
    """A listing is complete, whatever the size of pages, each page asked for once, each bid once, newest first."""
    desk = Desk()
    desk.on("GET /v2/spot/bids", paged(numbered(count), size))
    listed = desk.provider(lanes=lanes).market.bids()

    assert max(1, -(-count // size)) == len(desk.asked_for("GET /v2/spot/bids"))
    assert [f"bid_{i}" for i in reversed(range(count))] == [bid.id for bid in listed]


def test_a_bare_array_is_a_whole_list(desk, mithril):
    """A list that comes without a page around it is read as it is."""
    desk.on("GET /v2/spot/bids", numbered(3))

    assert 3 == len(mithril.market.bids())
    assert 1 == len(desk.asked_for("GET /v2/spot/bids"))


@pytest.mark.parametrize("lanes", [1, 2])
@pytest.mark.parametrize("cursor", ["again", 7, {"at": 1}])
def test_a_cursor_that_comes_twice_is_no_list(desk, cursor, lanes):
    """A server whose pages go in circles gives no listing instead of a short or an endless one."""
    desk.on("GET /v2/spot/bids", {"data": numbered(1), "next_cursor": cursor})

    with pytest.raises(Transient, match="circles"):
        desk.provider(lanes=lanes).market.bids()

    assert 2 == len(desk.asked_for("GET /v2/spot/bids"))


@pytest.mark.parametrize("end", [None, "", False])
def test_a_null_or_empty_cursor_ends_a_list(desk, mithril, end):
    """The last page says so by null, by nothing or by an empty text."""
    desk.on("GET /v2/spot/bids", {"data": numbered(1), "next_cursor": end})

    assert 1 == len(mithril.market.bids())


def test_a_bid_that_slips_to_the_next_page_is_listed_once(desk, mithril):
    """When something new pushes a bid over to the next page, the bid is there once."""
    bids = numbered(3)
    desk.on(
        "GET /v2/spot/bids",
        {"data": bids[:2], "next_cursor": "x"},
        {"data": bids[1:], "next_cursor": None},
    )

    assert ["bid_2", "bid_1", "bid_0"] == [bid.id for bid in mithril.market.bids()]


@pytest.mark.parametrize("page", [None, 3, "text", {"data": None}, {"items": []}, {"data": {}}])
def test_what_is_no_list_is_no_empty_list(desk, mithril, page):
    """An answer without a list must not count as a list of nothing: bids would be taken for gone."""
    desk.on("GET /v2/spot/bids", page)

    with pytest.raises(Transient):
        mithril.market.bids()


def test_one_unreadable_bid_spoils_the_listing(desk, mithril):
    """A bid that can't be read is not left out, because it would be taken for gone."""
    desk.on("GET /v2/spot/bids", {"data": [*numbered(1), {"fid": "bid_9"}]})

    with pytest.raises(Transient, match="can't be read"):
        mithril.market.bids()
