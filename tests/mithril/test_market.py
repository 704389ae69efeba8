"""The market: quotes joined from three calls, and bids that are placed once."""

from __future__ import annotations

import httpx
import pytest
from attrs import evolve

from flow_core.domain.bid import BidRequest, BidState, Launch
from flow_core.domain.money import Price
from flow_core.domain.shape import InstanceShape, parse_shape
from flow_core.domain.volume import Attachment
from flow_core.errors import (
    InvalidRequest,
    NameTaken,
    NoCapacity,
    NotFound,
    PriceTooLow,
    QuotaExceeded,
    Transient,
)
from tests.mithril.desk import BID, REGION, TYPE, Reply, body

BIDS = "GET /v2/spot/bids"
PLACE = "POST /v2/spot/bids"
ONE = f"/v2/spot/bids/{BID}"
NAME = "train-f8qy40y3"
REQUEST = BidRequest(
    name=NAME,
    type_id=TYPE,
    shape=InstanceShape("h100", 8, 80),
    region=REGION,
    quantity=2,
    limit=Price.parse("25.60"),
    launch=Launch(script="#!/bin/bash\ntrue\n"),
)


@pytest.fixture
def placed(desk):
    """A desk that accepts a bid."""
    desk.on(BIDS, {"data": [], "next_cursor": None})
    desk.on(PLACE, Reply(body("bid"), 201))
    return desk


def test_quotes_join_types_with_markets(mithril):
    """A name with two ids has a quote for each of their markets, with price, floor, free instances and total."""
    quotes = mithril.market.quotes(parse_shape("8xh100"))
    first = next(quote for quote in quotes if quote.type_id == TYPE)

    assert {(TYPE, REGION), ("it_XqgKWbhZ5gznAYsG", "us-central2-a")} == {
        (quote.type_id, quote.region) for quote in quotes
    }
    assert "8xh100" == str(first.shape)
    assert (Price.parse("10"), Price.parse("2.25")) == (first.price, first.floor)
    assert (12, 16) == (first.available, first.capacity)


@pytest.mark.parametrize("asked", ["8xh100", "h100:8", "h100-80gb.sxm.8x", "H100.80GB.8x"])
def test_every_spelling_finds_every_id_of_a_type(mithril, asked):
    """A type is found by count and family in either order and by Mithril's own name, under all the ids it has."""
    assert {TYPE, "it_XqgKWbhZ5gznAYsG"} == {
        quote.type_id for quote in mithril.market.quotes(parse_shape(asked))
    }


def test_an_id_finds_that_type_alone(desk, mithril):
    """A raw id is quoted where it has a market; one that is in no list, where it has a price; others nowhere."""

    def prices(request):
        kind, region = request.url.params["instance_type"], request.url.params["region"]
        known = kind == TYPE or (kind == "it_2vblKKB0L8sRG8K7" and region == REGION)
        return {"spot_price_cents": 900, "minimum_price_cents": 100} if known else Reply({}, 404)

    desk.on("GET /v2/pricing/current", prices)

    def quoted(type_id):
        return {(each.type_id, each.region) for each in mithril.market.quotes(parse_shape(type_id))}

    assert {(TYPE, REGION)} == quoted(TYPE)
    assert {("it_2vblKKB0L8sRG8K7", REGION)} == quoted("it_2vblKKB0L8sRG8K7")
    assert set() == quoted("it_0000000000000000")


def test_a_price_is_never_below_the_floor(desk, mithril):
    """Where the last price lies under the floor, the floor is the price."""
    desk.on("GET /v2/pricing/current", {"minimum_price_cents": 5000})

    assert all(quote.price >= quote.floor for quote in mithril.market.quotes())


def test_quotes_are_kept_for_a_while(desk, mithril):
    """Asking again within seconds asks Mithril nothing; the catalogue is kept longer than the markets."""
    mithril.market.quotes()
    asked = len(desk.asked)
    mithril.market.quotes()
    kept = len(desk.asked)
    desk.clock.advance(seconds=30)
    mithril.market.quotes()

    assert asked == kept
    assert 2 == len(desk.asked_for("GET /v2/spot/availability"))
    assert 1 == len(desk.asked_for("GET /v2/instance-types"))


def test_a_new_type_makes_the_catalogue_be_read_again(desk, mithril):
    """A market of a type that the kept catalogue lacks is quoted after one more look at the catalogue."""
    types, markets = body("instance_types"), body("availability")
    desk.on("GET /v2/instance-types", types[1:], types)
    desk.on("GET /v2/spot/availability", markets[1:], markets)
    mithril.market.quotes()
    desk.clock.advance(seconds=30)

    assert TYPE in {quote.type_id for quote in mithril.market.quotes()}
    assert 2 == len(desk.asked_for("GET /v2/instance-types"))


def test_a_type_nobody_knows_is_asked_about_once(desk, mithril):
    """A market whose type is in no list is left out, and the catalogue is not read for it at every look."""
    desk.on("GET /v2/instance-types", body("instance_types")[1:])
    for _ in range(3):
        assert TYPE not in {quote.type_id for quote in mithril.market.quotes()}

    assert 1 == len(desk.asked_for("GET /v2/instance-types"))


def test_a_shape_without_a_market_is_asked_about_by_price(desk, mithril):
    """An active type that is missing from the markets is quoted from its current prices, where there are any."""

    def prices(request):
        here = request.url.params["region"] == REGION
        return {"spot_price_cents": 3000, "minimum_price_cents": 100} if here else Reply({}, 404)

    desk.on("GET /v2/pricing/current", prices)
    quotes = mithril.market.quotes(parse_shape("8xb200"))

    assert [(REGION, Price.parse("30"))] == [(quote.region, quote.price) for quote in quotes]
    assert "current prices" == quotes[0].source


def test_trouble_with_one_market_hides_no_other(desk, mithril):
    """When one market's prices can't be read, it is still quoted, by what the list says."""
    desk.on("GET /v2/pricing/current", Reply({"detail": "boom"}, 500))

    assert Price.parse("10") in {quote.price for quote in mithril.market.quotes()}


def test_a_bid_is_placed_with_one_request(placed, mithril):
    """The request says what was asked, in Mithril's words, with the token as its idempotency key."""
    bid = mithril.market.place(REQUEST)
    sent = placed.sent(PLACE)
    (request,) = placed.asked_for(PLACE)

    assert (BID, NAME, BidState.ALLOCATED) == (bid.id, bid.name, bid.state)
    assert (REQUEST.limit, 2, REQUEST.shape) == (bid.limit, bid.quantity, bid.shape)
    assert "f8qy40y3" == request.headers["Idempotency-Key"]
    assert ("$25.60", 2, NAME) == (sent["limit_price"], sent["instance_quantity"], sent["name"])
    assert {
        "volumes": [],
        "ssh_keys": ["sshkey_Kp3Vd8Wz5Ys0HjRf"],
        "startup_script": "#!/bin/bash\ntrue\n",
    } == sent["launch_specification"]


def test_a_live_bid_of_that_name_is_returned(placed, mithril):
    """A second call with the name of a live bid places nothing."""
    placed.on(BIDS, {"data": [body("bid")], "next_cursor": None})

    assert BID == mithril.market.place(REQUEST).id
    assert [] == placed.asked_for(PLACE)


@pytest.mark.parametrize(
    "answer",
    [
        Reply({"detail": "boom"}, 500),
        Reply(status=502, raw=b"<html>bad gateway</html>"),
        Reply({"detail": "slow down"}, 429, {"Retry-After": "3"}),
        httpx.ReadTimeout("slow"),
        httpx.ReadError("dropped after sending"),
        httpx.ConnectError("refused before sending"),
        httpx.RemoteProtocolError("peer closed connection without sending complete message body"),
        Reply(status=201, raw=b'{"fid": "bid_Ab3d'),
        Reply(
            status=201, raw=b"<html>captive portal</html>", headers={"Content-Type": "text/html"}
        ),
        Reply({"fid": "bid_1"}, 201),
        Reply(None, 201),
    ],
    ids=repr,
)
def test_an_answer_that_was_not_heard_is_transient_and_not_repeated(placed, mithril, answer):
    """Whatever is unclear about a placement, one request was sent and the caller is told to look."""
    placed.on(PLACE, answer)

    with pytest.raises(Transient, match="place bid"):
        mithril.market.place(REQUEST)

    assert 1 == len(placed.asked_for(PLACE))


def test_a_refused_connection_says_that_nothing_was_sent(placed, mithril):
    """A connection that never stood can't have placed a bid, and the message says so."""
    placed.on(PLACE, httpx.ConnectError("refused"))

    with pytest.raises(Transient, match="nothing was sent"):
        mithril.market.place(REQUEST)


def test_a_placed_bid_is_returned_whatever_else_fails(placed, mithril):
    """Once the bid exists, trouble with the catalogue doesn't turn its placement into a refusal."""
    placed.on("GET /v2/instance-types", Reply({"detail": "no"}, 403))

    assert BID == mithril.market.place(REQUEST).id


@pytest.mark.parametrize(
    "status, words, kind",
    [
        (400, "Limit price below minimum for this auction", PriceTooLow),
        (400, "Bid name already used", NameTaken),
        (409, "Duplicate name", NameTaken),
        (403, "Quota exceeded for instance type", QuotaExceeded),
        (404, "Instance type not found", NoCapacity),
        (404, "Volume not found", InvalidRequest),
        (422, "No SSH keys", InvalidRequest),
    ],
)
def test_a_refusal_is_a_kind_with_mithril_s_words(placed, mithril, status, words, kind):
    """Each refusal is a kind the caller can act on, and keeps the server's words."""
    placed.on(PLACE, Reply({"detail": words}, status, {"x-request-id": "req-7"}))

    with pytest.raises(kind, match=words) as caught:
        mithril.market.place(REQUEST)

    assert "req-7" in caught.value.message


def test_a_limit_under_the_floor_is_not_sent(placed, mithril):
    """The floor is checked first, and the message names it."""
    with pytest.raises(PriceTooLow, match=r"\$2\.25/hr"):
        mithril.market.place(evolve(REQUEST, limit=Price.parse("2.24")))

    assert [] == placed.asked_for(PLACE)


def test_a_market_that_isn_t_there_is_no_capacity(placed, mithril):
    """A type that the region doesn't offer is refused before anything is sent."""
    placed.on("GET /v2/pricing/current", Reply({"detail": "no such market"}, 404))

    with pytest.raises(NoCapacity, match="nowhere"):
        mithril.market.place(evolve(REQUEST, region="nowhere"))

    assert [] == placed.asked_for(PLACE)


def test_a_script_that_is_too_long_is_refused(placed, mithril):
    """Mithril takes 10,000 characters and not one more."""
    mithril.market.place(evolve(REQUEST, launch=Launch(script="x" * 10_000)))

    with pytest.raises(InvalidRequest, match="10,001"):
        mithril.market.place(evolve(REQUEST, launch=Launch(script="x" * 10_001)))


def test_a_block_volume_belongs_to_one_node(placed, mithril):
    """A block volume on a bid for two is refused; a shared one, or a bid for one, is not."""
    placed.on("GET /v2/volumes", body("volumes"))
    block = Launch(
        script="", attachments=(Attachment(volume_id="vol_1Wd5Ft6Gy7Hu8JiK", path="/data"),)
    )
    shared = Launch(
        script="", attachments=(Attachment(volume_id="vol_7Qm2Xc4Lr9Tn1BvK", path="/data"),)
    )
    mithril.market.place(evolve(REQUEST, launch=shared))
    mithril.market.place(evolve(REQUEST, launch=block, quantity=1))

    assert ["vol_1Wd5Ft6Gy7Hu8JiK"] == placed.sent(PLACE)["launch_specification"]["volumes"]
    with pytest.raises(InvalidRequest, match="scratch"):
        mithril.market.place(evolve(REQUEST, launch=block))


def test_a_name_is_matched_exactly(desk, mithril):
    """Whatever the server takes a name for, only bids of exactly that name are returned."""
    page = body("bids_page")
    page["data"][0]["name"] = NAME + "x"
    desk.on(BIDS, page)

    assert [BID] == [bid.id for bid in mithril.market.bids(name=NAME)]
    assert NAME == desk.asked_for(BIDS)[-1].url.params["name"]


def test_filters_add_up(desk, mithril):
    """Ids, name and life narrow each other; many ids are found by one sweep that stops when it has them."""
    desk.on(BIDS, {**body("bids_page"), "next_cursor": "more"}, body("bids_page"))
    ids = [each["fid"] for each in body("bids_page")["data"]]

    assert [] == mithril.market.bids(ids=[])
    assert [] == desk.asked
    assert 2 == len(mithril.market.bids(ids=ids + [f"bid_{i}" for i in range(9)], live=True))
    assert 2 == len(desk.asked_for(BIDS))
    assert [] == mithril.market.bids(ids=["bid_nobody"])


def test_what_a_bid_holds_is_read_in_our_words(desk, mithril):
    """States, times, money with thousands and owners come out as the domain has them."""
    desk.on(BIDS, body("bids_page"))
    opened, held, ended = mithril.market.bids()

    assert [BidState.OPEN, BidState.ALLOCATED, BidState.TERMINATED] == [
        bid.state for bid in (opened, held, ended)
    ]
    assert Price.parse("1012.29") == opened.limit
    assert ended.ended_at is not None
    assert held.ended_at is None
    assert "user_Ty6Ui7Op8As9Df0G" == held.owner


@pytest.mark.parametrize(
    "status, ended, instances, state",
    [
        ("Frozen", None, [], BidState.OPEN),
        ("Frozen", None, ["inst_1"], BidState.ALLOCATED),
        ("Frozen", "2026-03-01T10:00:00Z", ["inst_1"], BidState.TERMINATED),
        ("PREEMPTING", None, [], BidState.PREEMPTING),
    ],
)
def test_a_word_from_next_year_is_a_guess_and_no_crash(
    desk, mithril, status, ended, instances, state
):
    """An unknown status is guessed from what else the bid says, and kept in its detail."""
    desk.on(
        f"GET {ONE}",
        {**body("bid"), "status": status, "deactivated_at": ended, "instances": instances},
    )
    bid = mithril.market.bid(BID)

    assert state is bid.state
    assert bid.detail == ("" if status == "PREEMPTING" else status)


def test_relocation_is_asked_of_an_allocated_bid(desk, mithril):
    """Only a bid's own status says Relocating, so it is asked for where that can be."""
    desk.on(f"GET {ONE}", body("bid"))
    desk.on(f"GET {ONE}/status", body("bid_status"))

    assert BidState.RELOCATING is mithril.market.bid(BID).state
    desk.on(f"GET {ONE}", {**body("bid"), "status": "Open"})
    asked = len(desk.asked_for(f"GET {ONE}/status"))
    assert BidState.OPEN is mithril.market.bid(BID).state
    assert asked == len(desk.asked_for(f"GET {ONE}/status"))


def test_an_unknown_bid_is_not_found(mithril):
    """An id that is nobody's, and one that could be another path, are not found."""
    for wrong in ("bid_nobody", "../instances", "", "..", "a/b", "a\nb"):
        with pytest.raises(NotFound):
            mithril.market.bid(wrong)
