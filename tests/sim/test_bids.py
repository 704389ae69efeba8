"""Spot bids over HTTP: what is sent, what comes back, and what is refused in which words."""

from __future__ import annotations

import json

import pytest

from flow_core.domain.money import Price
from flow_providers.mock.faults import set_quota
from flow_providers.mock.http.calls import Policies
from flow_providers.mock.prices import MarketOnOffer
from tests.sim.clients import REGION, TYPE, Sim, market


def test_bid_comes_back_as_it_was_placed():
    """The created bid has every field of the documented model, empty ones as null."""
    sim = Sim()
    bid = sim.bid("resnet", "$25.60", quantity=4)
    me = sim.ask("GET", "/v2/me")["fid"]

    assert {
        "fid": bid["fid"],
        "name": "resnet",
        "project": sim.project,
        "created_by": me,
        "created_at": "2026-01-01T00:00:00Z",
        "deactivated_at": None,
        "limit_price": "$25.60",
        "instance_quantity": 4,
        "instance_type": sim.type_id,
        "region": REGION,
        "instances": [],
        "launch_specification": {
            "volumes": [],
            "ssh_keys": [sim.key],
            "startup_script": "#!/bin/bash\nsleep infinity\n",
            "kubernetes_cluster": None,
            "image_version": None,
            "memory_gb": None,
        },
        "status": "Open",
    } == bid
    assert bid["fid"].startswith("bid_")


@pytest.mark.parametrize("written", ["$25.60", "25.60", "25.6", "$25.600"])
def test_limit_may_be_written_with_or_without_its_sign(written):
    """What clients send for $25.60 is read as $25.60."""
    assert "$25.60" == Sim().bid("resnet", written)["limit_price"]


def test_instances_are_named_after_their_bid():
    """Each instance's name begins with its bid's, and its fields are there, with null where nothing is known."""
    sim = Sim()
    bid = sim.bid("resnet", "$5.00", quantity=2)
    sim.clock.advance(minutes=2)
    starting = sim.instances(bid_fid_in=bid["fid"])
    sim.clock.advance(seconds=20)
    first = min(sim.instances(), key=lambda each: each["name"])

    assert {"STATUS_STARTING"} == {each["status"] for each in starting}
    assert {
        "fid": first["fid"],
        "name": "resnet-0",
        "project": sim.project,
        "created_at": "2026-01-01T00:02:00Z",
        "created_by": bid["created_by"],
        "instance_type": sim.type_id,
        "region": REGION,
        "bid": bid["fid"],
        "reservation": None,
        "ssh_destination": None,
        "private_ip": None,
        "status": "STATUS_RUNNING",
    } == first
    assert {each["fid"] for each in starting} == set(sim.read(bid)["instances"])


def test_ended_bid_stays_listed_by_its_exact_name():
    """A terminated bid is found by name, with the time of its end; a name is matched whole and by case."""
    sim = Sim()
    bid = sim.bid("resnet", "$5.00")
    sim.bid("resnet-2", "$5.00")
    sim.ask("DELETE", f"/v2/spot/bids/{bid['fid']}", 204)
    found = sim.ask("GET", "/v2/spot/bids", params={"name": "resnet"})["data"]

    assert [("Terminated", "2026-01-01T00:00:00Z")] == [
        (each["status"], each["deactivated_at"]) for each in found
    ]
    assert [] == sim.ask("GET", "/v2/spot/bids", params={"name": "ResNet"})["data"]


def test_ending_twice_is_ending_once():
    """DELETE answers 204 for an ended bid and 404 for one that never was; a stray project parameter is passed by."""
    sim = Sim()
    bid = sim.bid("resnet", "$5.00")
    path = f"/v2/spot/bids/{bid['fid']}?project={sim.project}"
    codes = [
        sim.http.delete(each, headers={"content-type": "application/json"}).status_code
        for each in (path, path, "/v2/spot/bids/bid_never")
    ]

    assert [204, 204, 404] == codes


def test_ended_instances_are_terminated():
    """The instances of an ended bid stay listed, as terminated."""
    sim = Sim()
    bid = sim.bid("resnet", "$5.00", quantity=2)
    sim.clock.advance(minutes=3)
    sim.ask("DELETE", f"/v2/spot/bids/{bid['fid']}", 204)

    assert ["STATUS_TERMINATED"] * 2 == [each["status"] for each in sim.instances()]
    assert [] == sim.instances(status_in="STATUS_RUNNING,STATUS_STARTING")


def test_two_creates_without_a_key_are_two_bids():
    """Who repeats a create without saying so pays twice, and can see it."""
    sim = Sim()
    first, second = sim.bid("resnet", "$5.00"), sim.bid("resnet", "$5.00")

    assert first["fid"] != second["fid"]
    assert 2 == len(sim.ask("GET", "/v2/spot/bids", params={"name": "resnet"})["data"])


def test_same_idempotency_key_is_the_same_bid():
    """A create with a key that was used returns the first result; with another body it is refused."""
    sim = Sim()
    headers = {"idempotency-key": "k1"}
    first = sim.bid("resnet", "$5.00", headers=headers)
    sim.clock.advance(minutes=5)
    second = sim.bid("resnet", "$5.00", headers=headers)
    other = sim.http.post(
        "/v2/spot/bids", json=sim.bid_body("resnet", "$6.00"), headers=headers
    ).status_code

    assert first == second
    assert 409 == other
    assert 1 == len(sim.ask("GET", "/v2/spot/bids")["data"])


def test_refused_create_does_not_use_up_its_key():
    """A key whose first request was refused may be used for a better one."""
    sim = Sim(market(floor="2.00", price="2.00"))
    headers = {"idempotency-key": "k1"}
    refused = sim.http.post(
        "/v2/spot/bids", json=sim.bid_body("resnet", "$1.00"), headers=headers
    ).status_code

    assert 400 == refused
    assert "$2.00" == sim.bid("resnet", "$2.00", headers=headers)["limit_price"]


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        # Texts that clients look for. Source: contract, section 1.
        ({"limit_price": "$0.99"}, 400, "limit price below minimum"),
        ({"limit_price": "cheap"}, 422, "limit_price"),
        ({"limit_price": 5}, 422, "limit_price"),
        ({"project": "proj_no"}, 404, "proj_no"),
        ({"region": "us-nowhere-1"}, 404, "us-nowhere-1"),
        ({"instance_type": "it_no"}, 404, "it_no"),
        ({"instance_quantity": 0}, 422, "instance_quantity"),
        ({"instance_quantity": 11}, 400, "11"),
        ({"name": None}, 422, "name"),
        ({"name": "half \ud800"}, 422, "name"),
    ],
)
def test_what_can_not_be_bid(changes, status, words):
    """Each mistake is answered with its status and in words that name it; nothing is placed."""
    sim = Sim()
    body = {**sim.bid_body("resnet", "$5.00"), **changes}
    reply = sim.http.post("/v2/spot/bids", content=json.dumps(body))

    assert (status, True) == (reply.status_code, words.lower() in reply.text.lower())
    assert [] == sim.ask("GET", "/v2/spot/bids")["data"]


@pytest.mark.parametrize(
    ("launch", "status", "words"),
    [
        ({"ssh_keys": []}, 400, "ssh key is required"),
        ({"ssh_keys": ["sshkey_no"]}, 404, "sshkey_no"),
        ({"volumes": ["vol_no"]}, 404, "vol_no"),
        ({"image_version": "imgver_no"}, 404, "imgver_no"),
        ({"startup_script": "#" * 10_001}, 400, "10000"),
    ],
)
def test_what_can_not_be_launched(launch, status, words):
    """Keys, volumes and images must be there, and a script may have 10,000 characters."""
    sim = Sim()
    body = sim.bid_body("resnet", "$5.00")
    body["launch_specification"] |= launch
    reply = sim.http.post("/v2/spot/bids", json=body)

    assert (status, True) == (reply.status_code, words in reply.text.lower())


def test_bids_without_keys_by_policy():
    """Whether a bid needs an SSH key is a choice of the simulator's."""
    sim = Sim(policies=Policies(needs_keys=False))
    body = sim.bid_body("resnet", "$5.00")
    body["launch_specification"]["ssh_keys"] = []

    assert 201 == sim.http.post("/v2/spot/bids", json=body).status_code


def test_quota_is_refused_by_its_name():
    """A bid over the quota is refused with a text that says quota."""
    sim = Sim()
    sim.service.engine.change(None, lambda world, _: set_quota(world, TYPE, 2))
    reply = sim.http.post("/v2/spot/bids", json=sim.bid_body("resnet", "$5.00", quantity=3))
    [spot, _] = sim.ask("GET", "/v2/quotas", params={"project": sim.project})

    assert (403, True) == (reply.status_code, "quota" in reply.json()["detail"].lower())
    assert (2, 0) == (spot["total_quantity"], spot["used_quantity"])


def test_volumes_change_only_while_paused():
    """A running bid's volumes are fixed; a paused one takes the whole new list, and remembers the change."""
    sim = Sim()
    data, more = sim.volume("data"), sim.volume("more")
    bid = sim.bid("resnet", "$5.00", volumes=[data["fid"]])
    path = f"/v2/spot/bids/{bid['fid']}"
    early = sim.http.patch(path, json={"volumes": [more["fid"]]}).status_code
    sim.ask("PATCH", path, json={"paused": True})
    changed = sim.ask("PATCH", path, json={"volumes": [more["fid"]]})
    events = sim.ask("GET", path + "/history")["events"]
    told = [each["persistent_disk_change"] for each in events if "Volumes" in each["event_type"]]

    assert 409 == early
    assert [more["fid"]] == changed["launch_specification"]["volumes"]
    assert [
        {"attached": more["fid"], "removed": None},
        {"attached": None, "removed": data["fid"]},
    ] == told


def test_volume_must_be_where_the_bid_is():
    """A volume of another region is refused with both regions named."""
    there = MarketOnOffer(
        type_name=TYPE, region="eu-central1-b", capacity=1,
        floor=Price.parse("1"), price=Price.parse("1"),
    )  # fmt: skip
    sim = Sim(market(), there)
    volume = sim.volume("data", region="eu-central1-b")
    reply = sim.http.post(
        "/v2/spot/bids", json=sim.bid_body("resnet", "$5.00", volumes=[volume["fid"]])
    )

    assert 400 == reply.status_code
    assert {"eu-central1-b", REGION} <= {word.strip(",") for word in reply.json()["detail"].split()}


def test_block_volume_serves_one_instance():
    """A block volume is refused to a bid of two instances, and to a second bid."""
    sim = Sim()
    volume = sim.volume("disk", kind="Block")["fid"]
    two = sim.http.post(
        "/v2/spot/bids", json=sim.bid_body("a", "$5.00", quantity=2, volumes=[volume])
    ).status_code
    sim.bid("b", "$5.00", volumes=[volume])
    again = sim.http.post("/v2/spot/bids", json=sim.bid_body("c", "$5.00", volumes=[volume]))

    assert (400, 409) == (two, again.status_code)


def test_history_tells_what_became_of_a_bid():
    """Placed, allocated, amended, paused, resumed and ended, in order, with the limits that were set."""
    sim = Sim()
    bid = sim.bid("resnet", "$5.00")
    path = f"/v2/spot/bids/{bid['fid']}"
    sim.clock.advance(minutes=3)
    for change in ({"limit_price": "$6.00"}, {"paused": True}, {"paused": False}):
        sim.ask("PATCH", path, json=change)
        sim.clock.advance(seconds=1)
    sim.ask("DELETE", path, 204)
    events = sim.ask("GET", path + "/history")["events"]

    assert [
        ("Placed", "$5.00"), ("Allocated", None), ("Limit Price Changed", "$6.00"), ("Paused", None),
        ("Resumed", None), ("Terminated", None),
    ] == [(each["event_type"], each["limit_price"]) for each in events]  # fmt: skip
    assert sorted(each["timestamp"] for each in events) == [each["timestamp"] for each in events]
    assert 409 == sim.http.patch(path, json={"limit_price": "$7.00"}).status_code


def test_prices_and_statuses_of_an_instance_over_time():
    """An instance's price history follows the market, and its statuses are those it passed through."""
    sim = Sim()
    sim.bid("resnet", "$5.00")
    sim.clock.advance(hours=1)
    sim.control("POST", "prices", json={"price": "2.00"})
    sim.clock.advance(hours=1)
    query = {"project": sim.project}
    [prices] = sim.ask("GET", "/v2/instances/pricing/history", params=query)["instances"]
    [states] = sim.ask("GET", "/v2/instances/status/history", params=query)["instances"]

    assert [
        {"price_cents": 100, "start_time": "2026-01-01T00:02:20Z", "end_time": "2026-01-01T01:00:00Z"},
        {"price_cents": 200, "start_time": "2026-01-01T01:00:00Z", "end_time": None},
    ] == prices["events"]  # fmt: skip
    assert [
        "STATUS_NEW", "STATUS_CONFIRMED", "STATUS_INITIALIZING", "STATUS_STARTING", "STATUS_RUNNING",
    ] == [each["status"] for each in states["events"]]  # fmt: skip
