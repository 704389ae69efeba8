"""Requests that go wrong on purpose, and the control API that makes them."""

from __future__ import annotations

import httpx
import pytest

from tests.sim.clients import CONTROL_TOKEN, Sim

PLACE = {"method": "POST", "path": "/v2/spot/bids"}


def place(sim: Sim, **options: object) -> httpx.Response:
    """Post one bid."""
    return sim.http.post("/v2/spot/bids", json=sim.bid_body("mine", "$5.00"), **options)


def count(sim: Sim) -> int:
    """How many bids there are."""
    return len(sim.ask("GET", "/v2/spot/bids")["data"])


def test_rate_limit_says_when_to_come_again():
    """So many requests answer 429 with Retry-After, and the next is served."""
    sim = Sim()
    sim.control("POST", "faults", 201, json={"kind": "rate-limit", "times": 2, "seconds": 7})
    replies = [sim.http.get("/v2/me") for _ in range(3)]

    assert [429, 429, 200] == [reply.status_code for reply in replies]
    assert "7" == replies[0].headers["retry-after"]


@pytest.mark.parametrize(("when", "bids"), [("before", 0), ("after", 1)])
def test_error_before_or_after_it_took_effect(when, bids):
    """A 502 tells nothing: the bid is there in one case and not in the other."""
    sim = Sim()
    fault = {"kind": "error", "status": 502, "when": when, **PLACE}
    sim.control("POST", "faults", 201, json=fault)

    assert 502 == place(sim).status_code
    assert bids == count(sim)


@pytest.mark.parametrize(("when", "bids"), [("before", 0), ("after", 1)])
def test_connection_that_is_cut(when, bids):
    """The client gets no reply at all; the bid may be there."""
    sim = Sim()
    body = sim.bid_body("mine", "$5.00")
    sim.control("POST", "faults", 201, json={"kind": "drop", "when": when, **PLACE})

    with pytest.raises(httpx.RemoteProtocolError):
        sim.http.post("/v2/spot/bids", json=body)
    assert bids == count(sim)


@pytest.mark.parametrize("seconds", [59, 300])
def test_create_that_takes_effect_late(seconds):
    """The client hears an error, sees no bid, and finds it there so many seconds later."""
    sim = Sim()
    sim.control("POST", "faults", 201, json={"kind": "late", "seconds": seconds, **PLACE})
    code = place(sim).status_code
    sim.clock.advance(seconds=seconds - 1)
    before = count(sim)
    sim.clock.advance(seconds=1)
    [bid] = sim.ask("GET", "/v2/spot/bids")["data"]

    assert (503, 0) == (code, before)
    assert "mine" == bid["name"]


def test_lost_reply_is_told_again_for_its_key():
    """A create whose reply was lost, repeated with its idempotency key, returns the bid that it made."""
    sim = Sim()
    sim.control("POST", "faults", 201, json={"kind": "error", "when": "after", **PLACE})
    headers = {"idempotency-key": "k"}
    codes = [place(sim, headers=headers).status_code for _ in range(2)]

    assert ([503, 201], 1) == (codes, count(sim))


def test_late_create_and_its_repetition_are_one_bid():
    """A create with a key, repeated while the first is still on its way, makes one bid; without a key, two."""
    counts = []
    for headers in ({"idempotency-key": "k"}, {}):
        sim = Sim()
        sim.control("POST", "faults", 201, json={"kind": "late", "seconds": 30, **PLACE})
        codes = [place(sim, headers=headers).status_code for _ in range(2)]
        sim.clock.advance(minutes=1)
        counts.append((codes, count(sim)))

    assert [([503, 201], 1), ([503, 201], 2)] == counts


def test_trouble_waits_for_its_operation():
    """A fault for one operation leaves the others alone, is listed, and can be taken back."""
    sim = Sim()
    path = "/v2/spot/bids/{bid_fid}"
    sim.control("POST", "faults", 201, json={"kind": "error", "method": "DELETE", "path": path})
    [waiting] = sim.control("GET", "faults")
    bid = sim.bid("mine", "$5.00")
    failed = sim.http.delete(f"/v2/spot/bids/{bid['fid']}").status_code
    sim.control("POST", "faults", 201, json={"kind": "error"})
    sim.control("DELETE", "faults", 204)

    assert ("DELETE", path, 503) == (waiting["method"], waiting["path"], failed)
    assert 200 == sim.http.get("/v2/me").status_code


def test_new_bid_is_listed_late():
    """With lag, a bid is missing from lists, yet can be read by its id."""
    sim = Sim()
    sim.control("POST", "lag", json={"seconds": 5})
    bid = sim.bid("mine", "$5.00")
    early = count(sim)
    sim.clock.advance(seconds=5)

    assert (0, 1) == (early, count(sim))
    assert bid == sim.read(bid)


def test_lost_node_is_an_error():
    """An instance whose power was cut is STATUS_ERROR, and runs again when it was told to come back."""
    sim = Sim()
    bid = sim.bid("mine", "$5.00")
    sim.clock.advance(minutes=3)
    sim.control("POST", "nodes/lose", json={"bid": bid["fid"], "back_after": "1m"})
    lost = sim.instances()[0]["status"]
    sim.clock.advance(minutes=2)

    assert ("STATUS_ERROR", "STATUS_RUNNING") == (lost, sim.instances()[0]["status"])


def test_outbid_by_the_control_api():
    """A named bid is outbid by a cent, at once."""
    sim = Sim()
    bid = sim.bid("mine", "$5.00")
    sim.clock.advance(minutes=3)
    found = sim.control("POST", "outbid", json={"bid": bid["fid"]})

    assert ("$5.01", "Preempting") == (found["price"], sim.read(bid)["status"])


def test_ledger_is_to_the_cent():
    """Two instances for an hour and a half at $1.00, and nothing for the time they booted, are $3.00."""
    sim = Sim()
    sim.bid("mine", "$5.00", quantity=2)
    sim.clock.advance(minutes=2, seconds=20)
    sim.clock.advance(minutes=90)
    [project] = sim.control("GET", "ledger")["projects"]

    assert (300, sim.project) == (project["total_cents"], project["project"])
    assert [("mine", "Bid", 300)] == [
        (line["name"], line["kind"], line["cents"]) for line in project["lines"]
    ]


def test_time_is_advanced():
    """Everything due on the way happens."""
    sim = Sim()
    bid = sim.bid("mine", "$5.00")
    now = sim.control("POST", "advance", json={"seconds": 150})["now"]

    assert ("2026-01-01T00:02:30Z", "Allocated") == (now, sim.read(bid)["status"])
    assert 1 == sim.control("GET", "status")["running_nodes"]
    sim.control("POST", "advance", 422, json={"seconds": -1})


def test_control_has_a_token_of_its_own():
    """An API key doesn't open the control API, its token doesn't open the API, and unknown names list the known."""
    sim = Sim()

    assert 401 == sim.http.get("/_sim/status").status_code
    assert 401 == sim.client(None).get("/_sim/status").status_code
    assert 401 == sim.client(CONTROL_TOKEN).get("/v2/me").status_code
    assert "advance" in sim.control("GET", "nope", 404)["detail"]
    sim.control("PUT", "status", 405)
    sim.control("POST", "prices", 404, json={"price": "1.00", "region": "nowhere"})
    sim.control("POST", "prices", 400, json={"price": "much"})
