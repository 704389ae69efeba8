"""Reservations: quoted, made once, extended, paused, given back in part."""

from __future__ import annotations

from datetime import timedelta

import httpx
import pytest
from attrs import evolve

from flow_core.domain.bid import Launch
from flow_core.domain.money import Price, Spend
from flow_core.domain.reservation import (
    RESERVATION_TRANSITIONS,
    ReservationRequest,
    ReservationState,
    Term,
)
from flow_core.errors import Conflict, NoCapacity, NotFound, PriceTooLow, Transient
from flow_providers.mithril.encoding import when
from tests.mithril.desk import REGION, TYPE, Reply, body

LIST = "GET /v2/reservation"
MAKE = "POST /v2/reservation"
RES = "res_Wq1Er2Ty3Ui4Op5A"
START = when("2026-03-02T00:00:00Z")
TERM = Term(type_id=TYPE, region=REGION, quantity=4, start=START, end=START + timedelta(hours=6))
REQUEST = ReservationRequest(
    name="week", term=TERM, launch=Launch(script=""), max_unit_price=Price.parse("2")
)


@pytest.fixture
def kept(desk):
    """A desk with one reservation."""
    desk.on(LIST, body("reservations_page"))
    return desk


def test_offers_come_cheapest_first(desk, mithril):
    """Each offer has its price per instance-hour and the whole price, in whatever form they were sent."""
    desk.on("GET /v2/reservation/quote", body("reservation_quote"))
    offers = mithril.reservations.quote(TERM)
    asked = desk.asked[-1].url.params

    assert [
        ("standard", Price.parse("1.99"), Spend.parse("47.76")),
        ("flex", Price.parse("2.49"), Spend.parse("59.76")),
    ] == [(offer.key, offer.unit_price, offer.total) for offer in offers]
    assert ("2026-03-02T00:00:00Z", "2026-03-02T06:00:00Z", "4") == (
        asked["start_time"], asked["end_time"], asked["quantity"],
    )  # fmt: skip


def test_a_reservation_is_made_with_one_request(desk, mithril):
    """The request carries the term and the most that may be paid, in cents."""
    desk.on(LIST, {"data": []})
    desk.on(MAKE, Reply(body("reservation"), 201))
    made = mithril.reservations.create(REQUEST)

    assert (RES, ReservationState.PENDING, TERM) == (made.id, made.state, made.term)
    assert {"offer_key": "standard", "max_unit_price": 200} == desk.sent(MAKE)[
        "price_specification"
    ]


def test_a_live_reservation_of_that_name_is_returned(kept, mithril):
    """A second call with a live reservation's name charges nobody."""
    named = evolve(REQUEST, name=body("reservation")["name"])

    assert RES == mithril.reservations.create(named).id
    assert [] == kept.asked_for(MAKE)


@pytest.mark.parametrize("answer", [httpx.ReadTimeout("slow"), Reply({"detail": "x"}, 500)])
def test_an_answer_that_was_not_heard_is_not_asked_for_again(desk, mithril, answer):
    """What charges at once is sent once."""
    desk.on(LIST, {"data": []})
    desk.on(MAKE, answer)

    with pytest.raises(Transient):
        mithril.reservations.create(REQUEST)

    assert 1 == len(desk.asked_for(MAKE))


def test_a_price_that_rose_is_told_as_one(desk, mithril):
    """A refusal that speaks of the price is about the most that was to be paid."""
    desk.on(LIST, {"data": []})
    desk.on(MAKE, Reply({"detail": "Unit price exceeds max_unit_price"}, 400))

    with pytest.raises(PriceTooLow):
        mithril.reservations.create(REQUEST)


def test_extending_sends_the_new_end(kept, mithril):
    """A reservation is extended by one request; one that lasts long enough by none."""
    later = {**body("reservation"), "end_time": "2026-03-02T12:00:00Z"}
    kept.on(f"{MAKE}/{RES}/extend", later)
    mithril.reservations.extend(RES, end=TERM.end)
    none = len(kept.asked_for(f"{MAKE}/{RES}/extend"))
    longer = mithril.reservations.extend(RES, end=TERM.end + timedelta(hours=6))

    assert 0 == none
    assert TERM.end + timedelta(hours=6) == longer.term.end


def test_an_extension_that_can_t_be_names_the_latest_end(kept, mithril):
    """A refusal is explained by how far it could be extended."""
    kept.on(f"{MAKE}/{RES}/extend", Reply({"detail": "not available"}, 400))
    kept.on(f"{LIST}/{RES}/extension-availability", body("extension"))

    with pytest.raises(NoCapacity, match="2026-03-03T00:00:00Z"):
        mithril.reservations.extend(RES, end=TERM.end + timedelta(days=9))


def test_pausing_twice_is_one_change(kept, mithril):
    """A refusal to pause what is paused counts as done; one for another reason names the state."""
    kept.on(f"PATCH /v2/reservation/{RES}", Reply({"detail": "already"}, 409))
    with pytest.raises(Conflict, match="pending"):
        mithril.reservations.pause(RES, paused=True)
    kept.on(LIST, {"data": [{**body("reservation"), "status": "Paused"}]})

    assert ReservationState.PAUSED is mithril.reservations.pause(RES, paused=True).state


def test_nodes_given_back_are_those_that_went(kept, mithril):
    """A 200 gave all back, a 207 those it names; the request says what the service wants to hear."""
    path = f"{MAKE}/{RES}/terminate-instances"
    kept.on(path, Reply({}, 200), Reply({"terminated_instances": ["inst_2"]}, 207))

    assert ["inst_1", "inst_2"] == mithril.reservations.give_back(RES, ["inst_1", "inst_2"])
    assert ["inst_2"] == mithril.reservations.give_back(RES, ["inst_1", "inst_2"])
    assert {"instances": ["inst_1", "inst_2"], "reduce_capacity": True} == kept.sent(path)


def test_an_unknown_reservation_is_not_found(kept, mithril):
    """There is no call for one reservation, so the list decides."""
    with pytest.raises(NotFound):
        mithril.reservations.extend("res_nobody", end=TERM.end)


def test_every_state_can_be_reached_and_final_ones_stay():
    """The table of reservations' states is whole."""
    reached = set().union(*RESERVATION_TRANSITIONS.values()) | {ReservationState.PENDING}

    assert set(ReservationState) == reached == set(RESERVATION_TRANSITIONS)
    for state, following in RESERVATION_TRANSITIONS.items():
        assert state.is_live is bool(following)
