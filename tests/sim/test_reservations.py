"""Reservations over HTTP: offered, charged, begun, paused, extended, given back, ended."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.sim.clients import REGION, Sim, market

# A quarter of this market can be reserved, at half as much again as its spot price: 3 at $1.50.
MARKET = market(12)


def term(sim: Sim, *, begins_in_h: float = 0, hours: float = 10) -> dict[str, str]:
    """A start and an end, from now."""
    start = sim.clock.now() + timedelta(hours=begins_in_h)
    return {
        "start_time": start.isoformat(),
        "end_time": (start + timedelta(hours=hours)).isoformat(),
    }


def reserve(sim: Sim, status: int = 201, *, quantity: int = 2, **more: Any) -> Any:
    """Make a reservation."""
    about = {name: more.pop(name) for name in ("begins_in_h", "hours") if name in more}
    body = {
        "project": sim.project, "instance_type": sim.type_id, "region": REGION, "name": "block",
        "instance_quantity": quantity, "launch_specification": {"volumes": [], "ssh_keys": [sim.key]},
        **term(sim, **about), **more,
    }  # fmt: skip
    return sim.ask("POST", "/v2/reservation", status, json=body)


def where(sim: Sim) -> dict[str, str]:
    """What questions about a market begin with."""
    return {"project": sim.project, "instance_type": sim.type_id, "region": REGION}


def test_reservation_costs_what_was_quoted():
    """The whole price is quoted, charged at once, and on the ledger."""
    sim = Sim(MARKET)
    query = {**where(sim), **term(sim), "quantity": 2}
    [offer] = sim.ask("GET", "/v2/reservation/quote", params=query)["offers"]
    made = reserve(sim)

    # 2 instances x 10 hours x $1.50.
    assert ("$1.50", "$30.00") == (offer["unit_price"], offer["total_price"])
    assert ("$1.50", "$30.00", "Active") == (
        made["unit_price"], made["total_price"], made["status"],
    )  # fmt: skip
    assert 3000 == sim.control("GET", "ledger")["total_cents"]


def test_reservation_begins_and_ends_by_itself():
    """Pending until its start, then Active with instances, then Ended and without."""
    sim = Sim(MARKET)
    made = reserve(sim, begins_in_h=2, hours=3)
    states = [made["status"]]
    sim.clock.advance(hours=2, minutes=1)
    [now] = sim.ask("GET", "/v2/reservation", params={"project": sim.project})["data"]
    running = {each["status"] for each in sim.instances(reservation_fid_in=made["fid"])}
    sim.clock.advance(hours=3)
    [after] = sim.ask("GET", "/v2/reservation", params={"project": sim.project})["data"]
    gone = {each["status"] for each in sim.instances(order_type_in="Reservation")}

    assert ["Pending", "Active", "Ended"] == [*states, now["status"], after["status"]]
    assert ({"STATUS_RUNNING"}, {"STATUS_TERMINATED"}) == (running, gone)
    assert 2 == len(now["instances"])


def test_what_is_reserved_is_not_free():
    """Three can be reserved; while two are, one is free, and afterwards all are again."""
    sim = Sim(MARKET)
    reserve(sim, hours=5)
    reserve(sim, 409, quantity=2, hours=5)
    check = {**where(sim), "mode": "check", **term(sim, begins_in_h=5), "quantity": 3}
    slots = {
        **where(sim), "mode": "slots",
        "earliest_start_time": term(sim)["start_time"], "latest_end_time": term(sim)["end_time"],
    }  # fmt: skip
    latest = {**where(sim), "start_time": term(sim)["start_time"], "quantity": 1}

    assert {"available": True} == sim.ask("GET", "/v2/reservation/availability", params=check)
    assert [1, 3] == [
        gap["quantity"] for gap in sim.ask("GET", "/v2/reservation/availability", params=slots)
    ]
    assert {"latest_end_time": "2026-01-15T00:00:00Z", "available": True} == sim.ask(
        "GET", "/v2/reservation/availability", params=latest
    )


@pytest.mark.parametrize(
    "about",
    [{"hours": 2}, {"hours": 24 * 15}, {"hours": 3.5}, {"begins_in_h": -2}],
)
def test_terms_that_can_not_be(about):
    """Under three hours, over two weeks, broken hours and the past are refused."""
    reserve(Sim(MARKET), 400, **about)


def test_price_above_what_was_said_is_refused():
    """With a highest unit price in cents, a dearer reservation isn't made."""
    sim = Sim(MARKET)
    reserve(sim, 409, price_specification={"max_unit_price": 149})
    made = reserve(sim, price_specification={"max_unit_price": 150})

    assert "$1.50" == made["unit_price"]


def test_pause_of_an_hour_brings_credit():
    """Paused instances stop and run again; for an hour or more part of the price comes back."""
    sim = Sim(MARKET)
    made = reserve(sim)
    path = f"/v2/reservation/{made['fid']}"
    sim.clock.advance(hours=1)
    sim.ask("PATCH", path, json={"paused": True})
    stopped = {each["status"] for each in sim.instances()}
    sim.clock.advance(hours=2)
    sim.ask("PATCH", path, json={"paused": False})
    sim.clock.advance(minutes=1)
    running = {each["status"] for each in sim.instances()}
    usage = sim.ask("GET", path + "/usage")["summary"]

    assert ({"STATUS_PAUSED"}, {"STATUS_RUNNING"}) == (stopped, running)
    # 2 instances x 2 hours x $0.75.
    assert (3000, 300, 2700) == (
        usage["committed_cost_cents"], usage["flex_use_credits_cents"], usage["net_cost_cents"],
    )  # fmt: skip
    assert ("PT20H0M0S", "PT4H0M0S") == (
        usage["reserved_instance_hours"], usage["idle_instance_hours"],
    )  # fmt: skip


def test_single_instances_stop_and_start():
    """PATCH on instances is for reserved ones: stopping, then confirmed again; spot ones answer 501."""
    sim = Sim(MARKET)
    first, second = reserve(sim)["instances"]
    bid = sim.bid("spot", "$5.00")
    sim.clock.advance(minutes=3)
    [spot] = sim.read(bid)["instances"]

    def change(fids: list[str], status: str, code: int = 200) -> Any:
        return sim.ask("PATCH", "/v2/instances", code, json={"instances": fids, "status": status})

    stopping = change([first], "STATUS_PAUSED")
    sim.clock.advance(minutes=1)
    again = change([first, second], "STATUS_RUNNING")

    assert {"instances": {first: "STATUS_STOPPING"}} == stopping
    assert {"instances": {first: "STATUS_CONFIRMED", second: "STATUS_RUNNING"}} == again
    change([spot], "STATUS_PAUSED", 501)
    change(["inst_no"], "STATUS_PAUSED", 404)
    change([first, first], "STATUS_PAUSED", 422)


def test_boot_disk_is_renewed_while_stopped():
    """A running instance is refused with a reason, a stopped one is refreshed, a spot one answers 501."""
    sim = Sim(MARKET)
    first, _ = reserve(sim)["instances"]
    bid = sim.bid("spot", "$5.00")
    sim.clock.advance(minutes=3)
    [spot] = sim.read(bid)["instances"]
    path = f"/v2/instances/{first}/refresh-boot-disk"
    running = sim.ask("POST", path, 422)
    restarted = sim.ask("POST", f"/v2/instances/{first}/restart", 202)
    stop = {"instances": [first], "status": "STATUS_PAUSED"}
    sim.ask("PATCH", "/v2/instances", json=stop)
    unknown = sim.ask("POST", path, 422, json={"image_version": "imgver_no"})
    image = sim.ask("GET", "/v2/image-versions")[1]["image_version_fid"]

    assert ("INSTANCE_RUNNING", "INVALID_IMAGE_VERSION") == (running["reason"], unknown["reason"])
    assert {"fid": first, "status": "RESTARTING"} == restarted
    assert {"fid": first, "image_version": image, "status": "REFRESHED"} == sim.ask(
        "POST", path, json={"image_version": image}
    )
    sim.ask("POST", f"/v2/instances/{spot}/refresh-boot-disk", 501)


def test_extension_is_charged():
    """A reservation can be extended to two weeks in all, hour by hour, for the same price."""
    sim = Sim(MARKET)
    made = reserve(sim)
    path = f"/v2/reservation/{made['fid']}"
    free = sim.ask("GET", path + "/extension-availability")
    longer = sim.ask("POST", path + "/extend", json={"end_time": "2026-01-01T12:00:00Z"})

    assert {"latest_extension_time": "2026-01-15T00:00:00Z", "available": True} == free
    assert ("2026-01-01T12:00:00Z", "$36.00") == (longer["end_time"], longer["total_price"])
    sim.ask("POST", path + "/extend", 400, json={"end_time": "2026-01-01T11:00:00Z"})
    sim.ask("POST", path + "/extend", 409, json={"end_time": "2026-01-16T00:00:00Z"})


def test_instances_are_given_back_for_credit():
    """What is given back is gone at once and credited for the time left; the last one ends the reservation."""
    sim = Sim(MARKET)
    made = reserve(sim)
    first, second = made["instances"]
    path = f"/v2/reservation/{made['fid']}"

    def give_back(fids: list[str], code: int = 200, *, reduce: bool = True) -> Any:
        body = {"instances": fids, "reduce_capacity": reduce}
        return sim.ask("POST", path + "/terminate-instances", code, json=body)

    give_back([first], 422, reduce=False)
    sim.clock.advance(hours=5)
    given = give_back([first])
    usage = sim.ask("GET", path + "/usage")["summary"]
    events = sim.ask("GET", path + "/history")["events"]
    give_back([second])

    assert {} == given
    # One instance, 5 hours left, $0.60 each.
    assert 300 == usage["early_termination_credits_cents"]
    assert [300] == [each["return_credit_cents"] for each in events if each["return_credit_cents"]]
    give_back([second], 400)
