"""The fleet role: which nodes a bid holds, and what becomes of them."""

from __future__ import annotations

from flow_core.domain.allocation import Allocation, NodeState, NoticeKind
from flow_core.domain.bid import BidState
from flow_core.errors import NotAuthorized, Transient
from flow_providers.conformance.bed import Bed, refuses
from flow_providers.conformance.contracts.base import Contract
from flow_providers.conformance.stating import states

_RANKS = (
    "Nodes come by rank, 0 to n-1 without gaps, and a node keeps its rank while its bid lives,"
    " across preemptions too."
)
_ANSWERED = (
    "Every id asked for is answered: with an empty allocation when the bid holds nothing, has ended"
    " or is unknown."
)
_NOTICE = "A notice is there exactly while it stands."
_GOING = (BidState.PREEMPTING, BidState.RELOCATING)


class FleetContract(Contract):
    """Everything that `flow_core.ports.fleet.Fleet` promises."""

    @states("fleet.Fleet", "Knows the nodes behind bids.")
    def test_a_granted_bid_has_reachable_nodes(self, bed: Bed) -> None:
        """The nodes of a granted bid are running, each with an id of its own."""
        bid, allocation = bed.granted()
        node = allocation.nodes[0]

        assert bid.id == allocation.bid_id
        assert node.state is NodeState.RUNNING
        assert node.id

    @states(
        "fleet.allocations",
        "Return the nodes of each bid, in one sweep however many there are; may be repeated.",
    )
    def test_many_bids_are_answered_in_one_call(self, bed: Bed) -> None:
        """One call answers for as many bids as the rig has for `many`; the same call again says the same."""
        bid, _ = bed.granted()
        others = bed.place_many(bed.rig.many)
        asked = [bid.id, *(other.id for other in others)]
        found = bed.fleet.allocations(asked)

        assert set(asked) == set(found)
        assert all(bid_id == allocation.bid_id for bid_id, allocation in found.items())
        assert _ids(found[bid.id]) == _ids(bed.fleet.allocations(asked)[bid.id])

    @states("fleet.allocations", _ANSWERED)
    def test_unknown_and_ended_bids_hold_nothing(self, bed: Bed) -> None:
        """An id that is nobody's and that of an ended bid have an empty allocation, beside one that holds nodes."""
        unknown = bed.rig.no_such_id
        ended = bed.place()
        bed.market.withdraw(ended.id)
        bed.until("no node held", lambda: not bed.allocation(ended).nodes)
        bid, _ = bed.granted()
        found = bed.fleet.allocations([unknown, ended.id, bid.id])

        assert {unknown, ended.id, bid.id} == set(found)
        assert () == found[unknown].nodes == found[ended.id].nodes
        assert 1 == len(found[bid.id].nodes)
        assert {} == dict(bed.fleet.allocations([]))

    @states("fleet.allocations", _RANKS)
    def test_nodes_come_by_rank(self, bed: Bed) -> None:
        """The two nodes of a bid for two have ranks 0 and 1, in that order, and ids of their own."""
        _, allocation = bed.granted(bed.request(quantity=2))

        assert [0, 1] == [node.rank for node in allocation.nodes]
        assert 2 == len(_ids(allocation))

    @states("fleet.allocations", _RANKS)
    def test_a_node_keeps_its_rank_across_a_preemption(self, bed: Bed) -> None:
        """After a preemption, ranks are whole again, and a node that is back has the rank it had."""
        relent = bed.control("relent", bed.rig.controls.relent)
        bid, before = bed.granted(bed.request(quantity=2))
        bed.preempted(bid)
        relent(bid)
        after = bed.nodes_up(bid)
        ranks = {node.id: node.rank for node in before.nodes}

        assert [0, 1] == [node.rank for node in after.nodes]
        for node in after.nodes:
            assert ranks.get(node.id, node.rank) == node.rank

    @states("fleet.allocations", "A node of a paused or preempted bid is STOPPED or absent.")
    def test_a_preempted_bid_has_no_running_node(self, bed: Bed) -> None:
        """Once a bid has been outbid and is open again, its nodes are STOPPED or absent."""
        bid, _ = bed.granted()
        bed.preempted(bid)

        assert [] == [
            node for node in bed.allocation(bid).nodes if node.state is not NodeState.STOPPED
        ]

    @states("fleet.allocations", "A node of a paused or preempted bid is STOPPED or absent.")
    def test_a_paused_bid_has_no_running_node(self, bed: Bed) -> None:
        """Some time after a bid was paused, its nodes are STOPPED or absent, and stay so."""
        bid, _ = bed.granted()
        bed.amended(bid, paused=True)
        bed.nodes_down(bid)
        bed.a_while()

        assert [] == [
            node for node in bed.allocation(bid).nodes if node.state is not NodeState.STOPPED
        ]

    @states("fleet.allocations", _NOTICE)
    def test_a_notice_stands_while_the_bid_is_being_preempted(self, bed: Bed) -> None:
        """From the market's word until the nodes stop there is a notice with its deadline; before and after none."""
        outbid = bed.control("outbid", bed.rig.controls.outbid)
        bid, before = bed.granted()
        outbid(bid)
        seen: list[Allocation] = []

        def lost() -> bool:
            first = bed.state(bid)
            allocation = bed.allocation(bid)
            if first is bed.state(bid):
                assert (allocation.notice is not None) is (first in _GOING)
                seen.append(allocation)
            return first is BidState.OPEN

        bed.until("the bid outbid", lost)
        notices = {each.notice for each in seen if each.notice is not None}

        assert before.notice is None
        assert bed.allocation(bid).notice is None
        assert all(notice.kind is NoticeKind.PREEMPTION for notice in notices)
        assert len(notices) <= 1

    @states("fleet.allocations", _NOTICE)
    def test_a_notice_taken_back_is_gone(self, bed: Bed) -> None:
        """When the market relents within the notice, the bid keeps its nodes and has no notice any more."""
        outbid = bed.control("outbid", bed.rig.controls.outbid)
        relent = bed.control("relent", bed.rig.controls.relent)
        bid, before = bed.granted()
        outbid(bid)
        bed.until("the notice, or the loss", lambda: bed.state(bid) is not BidState.ALLOCATED)
        relent(bid)
        bed.until("the bid allocated", lambda: bed.state(bid) is BidState.ALLOCATED)
        after = bed.nodes_up(bid)

        assert after.notice is None
        assert len(before.nodes) == len(after.nodes)

    @states("fleet.allocations", "NotAuthorized, Transient: as for every role.")
    def test_no_credentials_no_nodes(self, bed: Bed) -> None:
        """While the credentials are refused, asking for nodes raises NotAuthorized."""
        refuse_login = bed.control("refuse_login", bed.rig.controls.refuse_login)
        bid = bed.place()
        with refuse_login():
            refuses(NotAuthorized, lambda: bed.allocation(bid))

    @states("fleet.allocations", "NotAuthorized, Transient: as for every role.")
    def test_no_answer_about_nodes_is_transient(self, bed: Bed) -> None:
        """When the provider gives no answer about nodes, Transient is raised, and asking again works."""
        fail_before = bed.control("fail_before", bed.rig.controls.fail_before)
        bid = bed.place()
        fail_before("fleet.allocations")

        refuses(Transient, lambda: bed.allocation(bid))

        assert bid.id == bed.allocation(bid).bid_id


def _ids(allocation: Allocation) -> set[str]:
    return {node.id for node in allocation.nodes}
