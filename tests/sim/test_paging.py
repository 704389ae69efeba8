"""Pages: every item once, in order, at any limit."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sim.clients import Sim, market

SIM = Sim(market(40))
COUNT = 23


def filled() -> Sim:
    """A simulator with bids in several states and their instances, made once."""
    if not SIM.ask("GET", "/v2/spot/bids")["data"]:
        bids = [SIM.bid(f"bid-{number:02d}", "$5.00", quantity=2) for number in range(COUNT)]
        SIM.clock.advance(minutes=3)
        for bid in bids[::3]:
            SIM.ask("DELETE", f"/v2/spot/bids/{bid['fid']}", 204)
        for bid in bids[1::3]:
            SIM.ask("PATCH", f"/v2/spot/bids/{bid['fid']}", json={"paused": True})
    return SIM


def pages(path: str, **query: object) -> list[dict[str, str]]:
    """All items of a list, page by page."""
    found: list[dict[str, str]] = []
    cursor = None
    while True:
        asked = {**query, **({"next_cursor": cursor} if cursor is not None else {})}
        page = filled().ask("GET", path, params=asked)
        found += page["data"]
        cursor = page["next_cursor"]
        if cursor is None:
            return found
        assert len(page["data"]) == query["limit"]


@given(
    limit=st.integers(1, 100),
    sort_by=st.sampled_from(["created_at", "status"]),
    sort_dir=st.sampled_from(["asc", "desc"]),
)
@settings(max_examples=40)
def test_bids_come_once_and_in_order(limit, sort_by, sort_dir):
    """Whatever the limit and the order, the pages together are the list, sorted."""
    found = pages("/v2/spot/bids", limit=limit, sort_by=sort_by, sort_dir=sort_dir)
    key = "status" if sort_by == "status" else "name"
    values = [bid[key] for bid in found]

    assert COUNT == len({bid["fid"] for bid in found}) == len(found)
    assert sorted(values, reverse=sort_dir == "desc") == values


@given(
    limit=st.integers(1, 100),
    sort_by=st.sampled_from(["created_at", "instance_status", "instance_type_fid"]),
    sort_dir=st.sampled_from(["asc", "desc"]),
)
@settings(max_examples=40)
def test_instances_come_once_and_in_order(limit, sort_by, sort_dir):
    """The same for instances: running, paused and terminated ones."""
    found = pages(
        "/v2/instances", project=SIM.project, limit=limit, sort_by=sort_by, sort_dir=sort_dir
    )
    key = {"instance_status": "status", "instance_type_fid": "instance_type"}.get(sort_by, "name")
    values = [each[key] for each in found]

    # 40 instances are two for each of twenty bids.
    assert 40 == len({each["fid"] for each in found}) == len(found)
    assert sorted(values, reverse=sort_dir == "desc") == values


def test_bid_that_comes_between_pages_disturbs_nothing():
    """A bid placed after the first page is not on the second, and nobody is shown twice."""
    sim = Sim()
    names = [sim.bid(f"bid-{number}", "$5.00")["name"] for number in range(6)]
    first = sim.ask("GET", "/v2/spot/bids", params={"limit": 3})
    sim.bid("late", "$5.00")
    rest = sim.ask("GET", "/v2/spot/bids", params={"limit": 3, "next_cursor": first["next_cursor"]})

    assert names[::-1] == [bid["name"] for bid in [*first["data"], *rest["data"]]]
    assert rest["next_cursor"] is None


@given(cursor=st.text(min_size=1, max_size=40))
@settings(max_examples=40)
def test_unknown_cursor_is_refused(cursor):
    """A cursor that was never given out is a 422, whatever it holds."""
    reply = filled().http.get("/v2/spot/bids", params={"next_cursor": cursor})

    assert 422 == reply.status_code
    assert ["query", "next_cursor"] == reply.json()["detail"][0]["loc"]


def test_filters_add_up():
    """Filters by status, type, region and list all apply at once; lists may be written with commas or repeated."""
    sim = filled()
    paused = sim.ask("GET", "/v2/spot/bids", params={"status": "Paused", "limit": 100})["data"]
    fids = [bid["fid"] for bid in paused[-2:]]
    comma = sim.instances(bid_fid_in=",".join(fids), status_in="STATUS_PAUSED,STATUS_RUNNING")
    repeated = sim.instances(bid_fid_in=fids, status_in=["STATUS_PAUSED"])

    assert {"Paused"} == {bid["status"] for bid in paused}
    assert {*fids} == {each["bid"] for each in comma}
    assert [each["fid"] for each in comma] == [each["fid"] for each in repeated]
    assert [] == sim.instances(order_type_in="Reservation")
    assert [] == sim.instances(region="elsewhere")
