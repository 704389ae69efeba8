"""The auction as a client of the API sees it."""

from __future__ import annotations

import json

import pytest

from tests.sim.clients import REGION, Sim, market

# Source: contract, section 3, vectors 1 and 2.
LIMITS = {"A": "$23.00", "B": "$21.00", "C": "$16.00", "D": "$13.00", "E": "$12.00", "F": "$8.00"}


def after_a_round(sim: Sim) -> tuple[dict[str, str], str]:
    """Every bid's status by name, and the price, once the next round was held."""
    sim.clock.advance(minutes=2)
    bids = sim.ask("GET", "/v2/spot/bids")["data"]
    [auction] = sim.ask("GET", "/v2/spot/availability")
    return {bid["name"]: bid["status"] for bid in bids}, auction["last_instance_price"]


def test_first_documented_auction():
    """Three instances go to the three highest bids, at the limit of the highest loser."""
    sim = Sim(market(3))
    for name, limit in LIMITS.items():
        sim.bid(name, limit)
    states, price = after_a_round(sim)

    assert {"A", "B", "C"} == {name for name, state in states.items() if state == "Allocated"}
    assert "$13.00" == price


def test_second_documented_auction():
    """A bid a cent above the price loses all the same, and the price rises to it."""
    sim = Sim(market(3))
    for name, limit in LIMITS.items():
        sim.bid(name, limit)
    after_a_round(sim)
    sim.bid("X", "$13.01")
    states, price = after_a_round(sim)

    assert "Open" == states["X"]
    assert "$13.01" == price


def test_bid_that_does_not_fit_is_skipped():
    """A bid gets all of its instances or none, and a lower one may win instead."""
    sim = Sim(market(3))
    sim.bid("large", "$9.00", quantity=2)
    sim.bid("larger", "$8.00", quantity=2)
    sim.bid("small", "$2.00")
    states, price = after_a_round(sim)

    assert {"large": "Allocated", "larger": "Open", "small": "Allocated"} == states
    assert "$1.00" == price


def test_outbid_nodes_get_their_notice_and_come_back():
    """Preempting with an end_time for five minutes, then PREEMPTED and Open, and the same instances come back."""
    sim = Sim()
    bid = sim.bid("mine", "$5.00")
    sim.clock.advance(minutes=3)
    sim.control("POST", "prices", json={"price": "6.00"})
    [leaving] = sim.instances(status_in="STATUS_PREEMPTING")
    notice = sim.ask("GET", f"/v2/instances/{leaving['fid']}/status")
    bid_then = sim.read(bid)["status"]
    sim.clock.advance(minutes=5)
    [gone] = sim.instances()
    bid_after = sim.read(bid)["status"]
    sim.control("POST", "prices", json={"price": None})
    sim.clock.advance(minutes=3)
    [back] = sim.instances()

    assert ("Preempting", "2026-01-01T00:08:00Z") == (bid_then, notice["end_time"])
    assert ("STATUS_PREEMPTED", "Open") == (gone["status"], bid_after)
    assert (leaving["fid"], "STATUS_RUNNING") == (back["fid"], back["status"])


def test_notice_may_be_taken_back():
    """When the price falls inside the notice, the instances never stop."""
    sim = Sim()
    bid = sim.bid("mine", "$5.00")
    sim.clock.advance(minutes=3)
    sim.control("POST", "prices", json={"price": "6.00"})
    sim.control("POST", "prices", json={"price": "1.00"})
    [instance] = sim.instances()
    status = sim.ask("GET", f"/v2/instances/{instance['fid']}/status")
    events = sim.ask("GET", f"/v2/spot/bids/{bid['fid']}/history")["events"]

    assert ("STATUS_RUNNING", None) == (status["status"], status["end_time"])
    assert ["Placed", "Allocated", "Allocated"] == [event["event_type"] for event in events]


def test_relocated_nodes_come_back_elsewhere():
    """Relocating on the bid's status call only, RELOCATING with an end_time, then STARTING and the same instances."""
    sim = Sim()
    bid = sim.bid("mine", "$5.00")
    path = f"/v2/spot/bids/{bid['fid']}"
    sim.clock.advance(minutes=3)
    [before] = sim.instances()
    sim.control("POST", "relocate", json={"bid": bid["fid"]})
    status, coarse = sim.ask("GET", path + "/status")["status"], sim.read(bid)["status"]
    moving = sim.ask("GET", f"/v2/instances/{before['fid']}/status")
    sim.clock.advance(minutes=5)
    [starting] = sim.instances()
    sim.clock.advance(seconds=20)
    [after] = sim.instances()

    assert ("Relocating", "Allocated") == (status, coarse)
    assert ("STATUS_RELOCATING", "2026-01-01T00:08:00Z") == (moving["status"], moving["end_time"])
    assert "STATUS_STARTING" == starting["status"]
    assert before == after
    assert ["Placed", "Allocated"] == [
        event["event_type"] for event in sim.ask("GET", path + "/history")["events"]
    ]


def test_relocating_nodes_can_be_outbid_afterwards():
    """A price that rises during a relocation takes effect when the nodes have arrived; nothing is granted twice."""
    sim = Sim(market(1))
    bid = sim.bid("mine", "$5.00")
    sim.clock.advance(minutes=3)
    sim.control("POST", "relocate", json={"bid": bid["fid"]})
    sim.control("POST", "prices", json={"price": "6.00"})
    sim.clock.advance(minutes=8)
    leaving = sim.read(bid)["status"]
    sim.clock.advance(minutes=10)

    assert ("Preempting", "Open") == (leaving, sim.read(bid)["status"])
    assert ["STATUS_PREEMPTED"] == [each["status"] for each in sim.instances()]


def test_paused_bid_keeps_its_instances_and_pays_nothing():
    """Paused instances stay listed by the same ids, run again after the pause, and cost nothing in between."""
    sim = Sim()
    bid = sim.bid("mine", "$5.00", quantity=2)
    sim.clock.advance(minutes=2, seconds=20)
    before = {each["fid"] for each in sim.instances()}
    paused = sim.ask("PATCH", f"/v2/spot/bids/{bid['fid']}", json={"paused": True})
    states = {each["status"] for each in sim.instances()}
    sim.clock.advance(hours=5)
    sim.ask("PATCH", f"/v2/spot/bids/{bid['fid']}", json={"paused": False})
    at_once = {each["fid"] for each in sim.instances()}
    sim.clock.advance(minutes=3)
    after = {each["fid"]: each["status"] for each in sim.instances()}

    assert ("Paused", {"STATUS_PAUSED"}) == (paused["status"], states)
    assert before == at_once == set(after)
    assert {"STATUS_RUNNING"} == set(after.values())
    # Looked at again at 05:04:00, booted by 05:04:20; a minute of two nodes at $1.00 an hour is 3.3 cents.
    assert 3 == sim.control("GET", "ledger")["total_cents"]


@pytest.mark.parametrize("path", ["/v2/spot/availability", "/v2/spot/bids", "/v2/pricing/current"])
def test_nobody_reads_what_others_would_pay(path):
    """Somebody in another project finds no trace of a limit that lost or won by far."""
    sim = Sim(market(1))
    sim.bid("rich", "$987.65")
    sim.bid("poor", "$1.23")
    sim.bid("poorer", "$1.07")
    sim.clock.advance(minutes=2)
    project = sim.control("POST", "projects", 201, json={"name": "other"})["fid"]
    person = sim.control("POST", "people", 201, json={"name": "Eve", "projects": [project]})
    query = {"instance_type": sim.type_id, "region": REGION} if path.endswith("current") else {}
    reply = sim.client(person["api_key"]).get(path, params=query)

    assert 200 == reply.status_code
    assert "1.07" not in reply.text
    assert "107" not in reply.text


def test_others_bids_are_not_there():
    """A bid, its instances and its volumes in a project that isn't mine answer 404, as if they never were."""
    sim = Sim()
    bid, volume = sim.bid("mine", "$5.00"), sim.volume("data")
    sim.clock.advance(minutes=3)
    [instance] = sim.instances()
    project = sim.control("POST", "projects", 201, json={"name": "other"})["fid"]
    person = sim.control("POST", "people", 201, json={"name": "Eve", "projects": [project]})
    eve = sim.client(person["api_key"])
    paths = (
        f"/v2/spot/bids/{bid['fid']}", f"/v2/spot/bids/{bid['fid']}/history",
        f"/v2/instances/{instance['fid']}/status", f"/v2/instances?project={sim.project}",
        f"/v2/volumes?project={sim.project}", f"/v2/ssh-keys?project={sim.project}",
    )  # fmt: skip

    assert [404] * len(paths) == [eve.get(path).status_code for path in paths]
    assert [404, 404] == [
        eve.delete(f"/v2/spot/bids/{bid['fid']}").status_code,
        eve.delete(f"/v2/volumes/{volume['fid']}").status_code,
    ]
    assert [] == eve.get("/v2/spot/bids").json()["data"]
    assert sim.project not in json.dumps(eve.get("/v2/me/teammates").json())
