"""Who is let in, and what is said of requests that can't be served."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from flow_providers.mock.http.messages import Request
from flow_providers.mock.http.table import ROUTES
from tests.sim.clients import Sim


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Bearer fkey_wrong", "Basic abc", "fkey_wrong"]
)
def test_no_key_no_answer(header):
    """Whatever is wrong with the key, the answer is 401 with a sentence."""
    sim = Sim()
    headers = {} if header is None else {"authorization": header}
    reply = sim.client(None).get("/v2/me", headers=headers)

    assert 401 == reply.status_code
    assert isinstance(reply.json()["detail"], str)


def test_every_operation_asks_for_the_key():
    """No operation answers a stranger, not even with what is wrong with the request."""
    stranger = Sim().client(None)
    codes = {
        (route.method, route.path): stranger.request(route.method, route.path).status_code
        for route in ROUTES
    }

    assert {} == {name: code for name, code in codes.items() if code != 401}


def test_api_key_lives_from_its_making_to_its_end():
    """A new key opens the door until it is revoked or its time is over; its secret is told once."""
    sim = Sim()
    until = (sim.clock.now() + timedelta(hours=2)).isoformat()
    first = sim.ask("POST", "/v2/api-keys", 201, json={"name": "ci", "expires_at": until})
    second = sim.ask("POST", "/v2/api-keys", 201, json={"name": "cd", "expires_at": until})
    clients = [sim.client(key["secret"]) for key in (first, second)]
    opened = [client.get("/v2/me").status_code for client in clients]
    sim.ask("DELETE", f"/v2/api-keys/{first['fid']}", 204)
    revoked = clients[0].get("/v2/me").status_code
    sim.clock.advance(hours=3)
    expired = clients[1].get("/v2/me").status_code
    listed = sim.ask("GET", "/v2/api-keys")

    assert ([200, 200], 401, 401) == (opened, revoked, expired)
    assert ["first", "ci", "cd"] == [key["name"] for key in listed]
    assert [False, True, False] == [key["deactivated_at"] is not None for key in listed]
    assert first["secret"] not in json.dumps(listed)
    assert listed[1]["snippet"] == first["secret"][:9] + "..."


@pytest.mark.parametrize(
    ("body", "words"),
    [
        # Source: contract, section 1, a live check.
        ({"name": "x" * 60, "expires_at": "2026-02-01T00:00:00Z"}, "must be less than 60 characters"),
        ({"name": "x", "expires_at": "2025-12-31T00:00:00Z"}, "expires_at"),
        ({"name": "x", "expires_at": "2028-01-01T00:00:00Z"}, "expires_at"),
    ],
)  # fmt: skip
def test_api_key_that_can_not_be(body, words):
    """Names of sixty letters, and ends in the past or beyond a year, are refused."""
    assert words in Sim().ask("POST", "/v2/api-keys", 400, json=body)["detail"]


@pytest.mark.parametrize(
    "path", ["/", "/v1/me", "/v2", "/v2/nope", "/v2/cpu/nope", "/v2/instances/inst_1", "/v2//me"]
)
def test_what_is_not_there_is_a_plain_404(path):
    """A path that nothing has answers 404 as JSON."""
    reply = Sim().http.get(path)

    assert (404, {"detail": "Not Found"}) == (reply.status_code, reply.json())
    assert "application/json" == reply.headers["content-type"]


def test_wrong_method_names_the_right_ones():
    """A known path with another method answers 405 and lists what it knows; a reservation can't be read by its id."""
    sim = Sim()
    put = sim.http.put("/v2/spot/bids")

    assert (405, "GET, POST") == (put.status_code, put.headers["allow"])
    assert 405 == sim.http.get("/v2/reservation/res_1").status_code


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'"x"', b"null", b"\xff", b'{"a": NaN}', b"[" * 100_000, b"1" * 9_000]
)  # fmt: skip
def test_body_that_is_none_of_ours(body):
    """Whatever is sent instead of an object, the answer is 422 with a list of what is wrong and where."""
    reply = Sim().http.post("/v2/spot/bids", content=body)

    assert 422 == reply.status_code
    assert {"loc", "msg", "type"} == set(reply.json()["detail"][0])


def test_all_problems_come_at_once():
    """A body that lacks three fields and has one wrong is told so in one reply, each with its place."""
    reply = Sim().http.post("/v2/volumes", json={"name": "Data!", "region": 3})
    places = {".".join(map(str, each["loc"])) for each in reply.json()["detail"]}

    assert 422 == reply.status_code
    assert {
        "body.name", "body.region", "body.project", "body.disk_interface", "body.size_gb",
    } == places  # fmt: skip


def test_reply_carries_the_worlds_date_and_a_number():
    """Date is the simulated time, so that clients can tell ages; every reply has an id of its own."""
    sim = Sim()
    first, second = sim.http.get("/v2/me"), sim.http.get("/v2/nope")

    assert "Thu, 01 Jan 2026 00:00:00 GMT" == first.headers["date"]
    assert first.headers["x-request-id"] != second.headers["x-request-id"]


def test_time_in_an_address_may_lose_its_plus():
    """A zone whose plus sign arrived as a space is read as what was meant."""
    sim = Sim()
    query = (("start_time", "2026-01-01T00:00:00 00:00"), ("num_samples", "1"))
    reply = sim.service.handle(
        Request(
            method="GET",
            path="/v2/pricing/history",
            query=query,
            headers={"authorization": f"Bearer {sim.service.api_key}"},
        )
    )

    assert 200 == reply.status
