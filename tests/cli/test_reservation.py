"""`flow reservation` over a pretend cloud that sells some."""

from __future__ import annotations

from datetime import timedelta

import pytest
from attrs import evolve

from flow_core.domain.money import Price, Spend
from flow_core.services.session import Session
from tests.cli.sold import FLEX, STANDARD, Sold

DAY = ("-i", "8xh100", "-N", "2", "--for", "1d")


@pytest.fixture
def sold(session, pretend_cloud) -> Sold:
    """What has been sold."""
    return Sold(session.provider.market, pretend_cloud.clock)


@pytest.fixture
def call(flow, sold, session):
    """Call `flow` with reservations on sale."""
    provider = evolve(session.provider, reservations=sold, logs=None)
    ports = evolve(session.ports, provider=provider)
    return lambda *words, **given: flow(
        *words, connect=lambda provider, environ: Session(ports), **given
    )


@pytest.fixture
def week(call) -> str:
    """A reservation of two instances that began just now; its name."""
    call("reservation", "create", *DAY, "--name", "week", "--yes")
    return "week"


def test_a_quote_shows_the_whole_price_and_costs_nothing(call, sold):
    """Two instances for a day are 48 instance-hours; regions that can't are left out; nothing is charged."""
    answer = call("reservation", "quote", *DAY)
    offers = call("reservation", "quote", *DAY, "--json").document["offers"]

    assert str(STANDARD.over(timedelta(hours=48))) in answer.out
    assert "charged at once" in answer.out
    assert ["standard", "flex"] == list(dict.fromkeys(each["offer"] for each in offers))
    assert {20 * 48, 26 * 48} == {each["total"] for each in offers}
    assert all(each["region"].startswith("us-central") for each in offers)
    assert Spend.ZERO == sold.charged


def test_a_reservation_is_shown_whole_and_asked_for(call, sold):
    """Without a terminal it takes --yes; a no pays nothing; a yes pays once what was shown."""
    create = ("reservation", "create", *DAY, "--name", "week")
    unasked = call(*create)

    assert 2 == unasked.code
    assert "Whole price" in unasked.err
    assert "$960.00 would be charged at once" in unasked.err
    assert 1 == call(*create, terminal=True, typed="n\n").code
    assert Spend.ZERO == sold.charged
    made = call(*create, terminal=True, typed="y\n")
    assert (0, Spend.parse(960)) == (made.code, sold.charged)
    assert made.out.endswith("week\n")


def test_no_more_is_paid_than_was_shown(call, sold):
    """The price that was shown is the most that is asked for, and the offer is the one that was named."""
    call("reservation", "create", *DAY, "--offer", "flex", "--yes")
    (request,) = sold.asked

    assert ("flex", FLEX) == (request.offer_key, request.max_unit_price)


def test_an_offer_that_is_none_is_refused(call, sold):
    """Nothing is reserved for a key that isn't offered."""
    assert 2 == call("reservation", "create", *DAY, "--offer", "free", "--yes").code
    assert [] == sold.asked


@pytest.mark.parametrize("unheard, code, charged", [("after", 0, 960), ("before", 14, 0)])
def test_an_answer_that_was_not_heard_is_never_paid_twice(call, sold, unheard, code, charged):
    """It is looked for by its name: found, it is the one; not found, the user is told to look before repeating."""
    sold.unheard = unheard
    answer = call("reservation", "create", *DAY, "--name", "week", "--yes")

    assert (code, Spend.parse(charged), 1) == (answer.code, sold.charged, len(sold.asked))
    assert code == 0 or "flow reservation list" in answer.err


def test_a_name_of_a_live_reservation_is_taken(call, sold, week, clock):
    """The same name twice would be a second charge; once it has ended the name is free."""
    again = ("reservation", "create", *DAY, "--name", week, "--yes")

    assert 5 == call(*again).code
    clock.advance(days=2)
    assert 0 == call(*again).code


def test_reservations_are_listed(call, week, clock):
    """Under the user's names; ended ones with --all."""
    (listed,) = call("reservation", "list", "--json").document["reservations"]

    assert (week, "active", 2, 960) == tuple(
        listed[name] for name in ("name", "state", "num_instances", "total")
    )
    clock.advance(days=2)
    assert "No reservations" in call("reservation", "list").out
    assert "✓ ended" in call("reservation", "list", "--all").out


def test_an_extension_costs_what_it_says(call, sold, week):
    """Half a day more is 24 instance-hours, shown and asked for before it is paid."""
    extend = ("reservation", "extend", week, "--by", "12h")
    refused = call(*extend)

    assert (2, Spend.parse(960)) == (refused.code, sold.charged)
    assert "$480.00 more, charged at once" in refused.err
    assert 0 == call(*extend, "--yes").code
    assert Spend.parse(960 + 480) == sold.charged


def test_an_extension_is_never_paid_twice(call, sold, week):
    """An answer that was not heard is looked up by the reservation's end; a dearer one isn't bought."""
    sold.unheard = "after"
    assert 0 == call("reservation", "extend", week, "--by", "12h", "--yes").code
    assert Spend.parse(1440) == sold.charged
    sold.price = Price.parse(21)
    assert 8 == call("reservation", "extend", week, "--by", "12h", "--yes").code
    assert Spend.parse(1440) == sold.charged


@pytest.mark.parametrize(
    "words, code, says",
    [
        (["--until", "2026-01-01"], 13, "lasts until 2026-01-02"),
        (["--until", "2027-01-01"], 7, "until 2026-01-31"),
        (["--until", "2027-01-01", "--by", "1d"], 2, "either"),
        ([], 2, "either"),
    ],
)
def test_an_extension_that_cannot_be_is_told(call, sold, week, words, code, says):
    """Its end, and how far it could last, are named; nothing is paid."""
    answer = call("reservation", "extend", week, *words, "--yes")

    assert code == answer.code
    assert says in answer.err
    assert Spend.parse(960) == sold.charged


def test_a_reservation_is_paused_and_goes_on(call, week):
    """Its instances stop and start; the state is said."""
    assert "week is paused" in call("reservation", "pause", week).err
    assert "week is active" in call("reservation", "pause", week, "--resume").err
    assert 4 == call("reservation", "pause", "nobody").code


@pytest.mark.parametrize(
    "words, field",
    [
        (["-i", "8xh100", "--for", "1d", "--start", "soon"], "--start"),
        (["-i", "8xh100", "--start", "+2h", "--end", "+1h"], "--end"),
        (["-i", "8xh100", "-N", "0", "--for", "1d"], "--num-instances"),
        (["-i", "8xh100", "--for", "1d", "--end", "+1d"], "either"),
    ],
)
def test_a_term_that_is_none_is_told(call, words, field):
    """Each problem names the option."""
    answer = call("reservation", "quote", *words)

    assert 2 == answer.code
    assert field in answer.err


def test_where_nothing_can_be_had_the_region_is_named(call):
    """A region that sells none is no capacity."""
    answer = call("reservation", "quote", *DAY, "--region", "us-east1-a")

    assert 7 == answer.code
    assert "in us-east1-a can't be reserved" in answer.err


@pytest.mark.parametrize("words", [["quote", *DAY], ["create", *DAY, "--yes"], ["list"]])
def test_a_provider_that_sells_none_says_so(flow, words):
    """The kind is unsupported, in words."""
    answer = flow("reservation", *words)

    assert 12 == answer.code
    assert "mock sells no reservations" in answer.err


def test_a_task_is_planned_on_a_reservation(call, week):
    """It takes all of the reservation's instances, in its region, for nothing; what it can't have is told."""
    submit = ("submit", "true", "--reservation", week, "--dry-run", "--no-code")
    plan = call(*submit, "--json").document["plan"]

    assert (2, 0, "res_1") == (
        plan["num_instances"],
        plan["max_total_per_hour"],
        plan["task"]["reservation"],
    )
    assert "is paid already" in plan["why_limit"]
    assert "as soon as the reservation's nodes are up" in call(*submit).out
    assert "--reservation: is paid already" in call(*submit, "--max-price-per-hour", "5").err
    assert 4 == call("submit", "true", "--reservation", "month", "--dry-run", "--no-code").code
