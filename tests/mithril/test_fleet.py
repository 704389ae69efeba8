"""The fleet: which nodes a bid holds, by rank, and what stands against them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from flow_core.domain.allocation import Address, NodeState, NoticeKind
from flow_core.errors import NotAuthorized, Transient
from flow_providers.mithril.encoding import when
from flow_providers.mithril.fleet import address_of
from tests.mithril.desk import BID, PROJECT, Reply, body

ONE = f"GET /v2/spot/bids/{BID}"
INSTANCES = "GET /v2/instances"


@pytest.fixture
def held(desk):
    """A desk with one allocated bid of two nodes."""
    desk.on(ONE, body("bid"))
    desk.on(INSTANCES, body("instances_page"))
    return desk


def instances(*statuses):
    """The example's two instances with these statuses, the second listed first as there."""
    page = body("instances_page")
    for each, status in zip(reversed(page["data"]), statuses, strict=True):
        each["status"] = f"STATUS_{status}"
    return page


def allocation(provider):
    """What the example's bid holds."""
    return provider.fleet.allocations([BID])[BID]


def test_nodes_come_by_rank_with_their_addresses(held, mithril):
    """Names' numbers decide the rank, whatever the order of the list; a port is split from its host."""
    found = allocation(mithril)

    assert [("inst_Qa1Ws2Ed3Rf4Tg5Y", 0), ("inst_Hu6Ji7Ko8Lp9Zx0C", 1)] == [
        (node.id, node.rank) for node in found.nodes
    ]
    assert [Address("192.0.2.10", 22, "ubuntu"), Address("192.0.2.11", 2222, "ubuntu")] == [
        node.address for node in found.nodes
    ]
    assert "10.0.0.10" == found.nodes[0].private_ip
    assert found.is_complete
    assert found.notice is None


def test_many_bids_are_one_question(desk, mithril):
    """Bids seen a moment ago are not asked for again, and all their instances are asked for together."""
    bids = [{**body("bid"), "fid": f"bid_{i}"} for i in range(20)]
    desk.on("GET /v2/spot/bids", {"data": bids})
    desk.on(INSTANCES, {"data": []})
    mithril.market.bids()
    desk.asked.clear()
    ids = [bid["fid"] for bid in bids]
    found = mithril.fleet.allocations([*ids, ids[0]])
    (request,) = desk.asked

    assert set(ids) == set(found)
    assert set(ids) == set(request.url.params["bid_fid_in"].split(","))
    assert PROJECT == request.url.params["project"]


def test_more_bids_than_fit_one_question_are_asked_in_batches(desk, mithril):
    """A query's length is bounded, so 100 bids are two questions."""
    bids = [{**body("bid"), "fid": f"bid_{i}"} for i in range(100)]
    desk.on("GET /v2/spot/bids", {"data": bids})
    desk.on(INSTANCES, {"data": []})
    mithril.fleet.allocations([bid["fid"] for bid in bids])

    assert 2 == len(desk.asked_for(INSTANCES))


def test_every_id_is_answered(held, mithril):
    """An unknown bid, an ended one and an id that can't be one have empty allocations."""
    held.on("GET /v2/spot/bids/bid_old", {**body("bid"), "fid": "bid_old", "status": "Terminated"})
    asked = ["bid_old", "bid_nobody", "no/such", BID]
    found = mithril.fleet.allocations(asked)

    assert set(asked) == set(found)
    assert [0, 0, 0, 2] == [len(found[each].nodes) for each in asked]
    assert {} == dict(mithril.fleet.allocations([]))


@pytest.mark.parametrize("bid", ["Paused", "Open"])
def test_a_bid_that_waits_outranks_its_instances(held, mithril, bid):
    """Instances of a paused or open bid count as stopped, even when the list lags and calls them running."""
    held.on(ONE, {**body("bid"), "status": bid})

    assert {NodeState.STOPPED} == {node.state for node in allocation(mithril).nodes}


def test_a_preemption_has_a_deadline(held, mithril):
    """A bid being preempted has a notice until the time an instance tells, even where the list lags."""
    held.on(ONE, {**body("bid"), "status": "Preempting"})
    held.on("GET /v2/instances/inst_Qa1Ws2Ed3Rf4Tg5Y/status", body("instance_status"))
    found = allocation(mithril)

    assert found.notice is not None
    assert (NoticeKind.PREEMPTION, when("2026-03-01T12:05:00Z")) == (
        found.notice.kind,
        found.notice.deadline,
    )
    assert {NodeState.LEAVING} == {node.state for node in found.nodes}


def test_a_preemption_without_a_time_lasts_five_minutes(held, mithril):
    """Where Mithril tells no end, the notice ends five minutes after it was first seen, and doesn't move."""
    held.on(INSTANCES, instances("PREEMPTING", "RUNNING"))
    first = mithril.clock.now()
    deadlines = set()
    for _ in range(3):
        notice = allocation(mithril).notice
        deadlines.add(notice.deadline if notice else None)
        held.clock.advance(seconds=30)

    assert {first + timedelta(minutes=5)} == deadlines


def test_a_notice_taken_back_is_gone(held, mithril):
    """When the instances run again the notice is gone, and the next one has its own time."""
    held.on(INSTANCES, instances("PREEMPTING", "RUNNING"))
    assert allocation(mithril).notice is not None
    held.on(INSTANCES, instances("RUNNING", "RUNNING"))
    assert allocation(mithril).notice is None
    held.clock.advance(minutes=30)
    held.on(INSTANCES, instances("PREEMPTING", "RUNNING"))
    again = allocation(mithril).notice

    assert again is not None
    assert again.deadline > mithril.clock.now()


def test_a_relocation_is_told_by_an_instance(held, mithril):
    """A bid stays allocated while a node moves; its instance says so."""
    held.on(INSTANCES, instances("RUNNING", "RELOCATING"))
    notice = allocation(mithril).notice

    assert notice is not None
    assert NoticeKind.RELOCATION is notice.kind


@pytest.mark.parametrize(
    "status, state",
    [
        ("NEW", NodeState.STARTING),
        ("SCHEDULED", NodeState.STARTING),
        ("FROM_NEXT_YEAR", NodeState.STARTING),
        ("RUNNING", NodeState.RUNNING),
        ("PREEMPTED", NodeState.STOPPED),
        ("STOPPED", NodeState.STOPPED),
        ("ERROR", NodeState.LOST),
    ],
)
def test_statuses_are_read_in_our_words(held, mithril, status, state):
    """Each status has a state, those of older and of future services too."""
    held.on(INSTANCES, instances(status, "RUNNING"))

    assert state is allocation(mithril).nodes[0].state


def test_a_running_node_without_an_address_is_not_up(held, mithril):
    """Running is worth nothing without a place to reach it at."""
    page = instances("RUNNING", "RUNNING")
    page["data"][0]["ssh_destination"] = None
    held.on(INSTANCES, page)
    found = allocation(mithril)

    assert NodeState.STARTING is found.nodes[1].state
    assert not found.is_complete


def test_a_reservation_s_nodes_are_found_by_its_id(desk, mithril):
    """An id of a reservation is answered as a bid's is."""
    page = body("instances_page")
    for each in page["data"]:
        each.update(bid=None, reservation="res_1")
    desk.on(INSTANCES, page)
    found = mithril.fleet.allocations(["res_1"])["res_1"]

    assert 2 == len(found.nodes)
    assert "res_1" == desk.asked_for(INSTANCES)[0].url.params["reservation_fid_in"]


@pytest.mark.parametrize("status, kind", [(401, NotAuthorized), (503, Transient)])
def test_no_answer_is_no_empty_allocation(held, mithril, status, kind):
    """Trouble is raised, and never read as holding nothing."""
    held.on(INSTANCES, Reply({"detail": "no"}, status))

    with pytest.raises(kind):
        allocation(mithril)


@pytest.mark.parametrize(
    "text, address",
    [
        (None, None),
        ("", None),
        ("  ", None),
        ("node.example", Address("node.example")),
        ("node.example:2222", Address("node.example", 2222)),
        ("127.0.0.5", Address("127.0.0.5")),
        ("[2001:db8::1]:2200", Address("2001:db8::1", 2200)),
        ("[2001:db8::1]", Address("2001:db8::1")),
        ("2001:db8::1", Address("2001:db8::1")),
        ("root@node.example:22", Address("node.example", 22, "root")),
        ("node.example:99999", Address("node.example", 22)),
    ],
)
def test_destinations_are_split(text, address):
    """A host, with or without a port, in either kind of address."""
    assert address == address_of(text)
