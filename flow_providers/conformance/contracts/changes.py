"""How bids are changed and ended: `amend` and `withdraw`."""

from __future__ import annotations

from flow_core.domain.bid import Bid, BidState
from flow_core.domain.money import Price
from flow_core.errors import Conflict, NotFound, PriceTooLow, Unsupported
from flow_providers.conformance.bed import Bed, refuses
from flow_providers.conformance.contracts.base import Contract
from flow_providers.conformance.stating import states

_PAUSE = (
    "A pause gives the nodes back, keeps their boot disks, and ends the cost once they have stopped; the bid competes"
    " again when unpaused."
)


class ChangesContract(Contract):
    """`Market.amend` and `Market.withdraw`."""

    @states("market.amend", "Change a live bid and return it; None leaves a thing as it is.")
    def test_a_new_limit_is_recorded(self, bed: Bed) -> None:
        """A changed limit is in the bid returned and in the provider's record, and nothing else has changed."""
        bid = bed.place()
        higher = bid.limit * 2
        changed = bed.amended(bid, limit=higher)

        for each in (changed, bed.market.bid(bid.id)):
            assert higher == each.limit
            assert (bid.id, bid.name, bid.quantity) == (each.id, each.name, each.quantity)
            assert each.state is not BidState.PAUSED

    @states("market.amend", "Change a live bid and return it; None leaves a thing as it is.")
    def test_changing_nothing_leaves_the_bid_as_it_is(self, bed: Bed) -> None:
        """With neither a limit nor a pause, the bid is returned with the limit it had, and competes on."""
        bid = bed.place()
        changed = bed.market.amend(bid.id)

        assert (bid.id, bid.limit) == (changed.id, changed.limit)
        assert changed.state is not BidState.PAUSED

    @states("market.amend", "The same change twice is one change.")
    def test_a_change_may_be_repeated(self, bed: Bed) -> None:
        """The same limit, and the same pause, asked for again returns the bid as the first time left it."""
        bid = bed.place()
        higher = bid.limit * 2
        first, again = bed.amended(bid, limit=higher), bed.amended(bid, limit=higher)

        assert higher == first.limit == again.limit
        first, again = bed.amended(bid, paused=True), bed.amended(bid, paused=True)
        assert BidState.PAUSED is first.state is again.state

    @states("market.amend", _PAUSE)
    def test_a_paused_bid_holds_nothing_and_competes_again_when_unpaused(self, bed: Bed) -> None:
        """A paused bid's nodes stop; unpaused, it is granted nodes again."""
        bid, _ = bed.granted()
        paused = bed.amended(bid, paused=True)
        bed.nodes_down(bid)
        still = bed.state(bid)
        bed.amended(bid, paused=False)
        bed.nodes_up(bid)

        assert BidState.PAUSED is paused.state is still
        assert BidState.ALLOCATED is bed.state(bid)
        assert bed.provider.limits.pauses  # by which users are told beforehand

    @states("market.amend", _PAUSE)
    def test_files_of_a_node_outlast_a_pause(self, bed: Bed) -> None:
        """What was written to a node's disk before a pause is there after it."""
        bed.need_commands()
        bid, before = bed.granted()
        written = bed.answer(before.nodes[0], "echo kept > kit-file; sync")
        bed.amended(bid, paused=True)
        bed.nodes_down(bid)
        bed.amended(bid, paused=False)
        after = bed.nodes_up(bid)

        assert 0 == written.code
        assert b"kept\n" == bed.answer(after.nodes[0], "cat kit-file").out

    @states("market.amend", _PAUSE)
    def test_a_paused_bid_costs_nothing(self, bed: Bed) -> None:
        """Once the nodes of a paused bid have stopped, no paid stretch of it is open, and none begins."""
        usage = bed.usage
        bid, _ = bed.granted()
        bed.amended(bid, paused=True)
        bed.nodes_down(bid)
        bed.until(
            "its cost ended", lambda: all(each.until for each in usage.usage([bid.id])[bid.id])
        )
        before = usage.usage([bid.id])[bid.id]
        bed.a_while()

        assert before == usage.usage([bid.id])[bid.id]

    @states("market.amend", "NotFound: no bid has that id.")
    def test_an_unknown_bid_cannot_be_changed(self, bed: Bed) -> None:
        """Changing a bid by an id that is nobody's raises NotFound."""
        refuses(NotFound, lambda: bed.market.amend(bed.rig.no_such_id))

    @states("market.amend", "Conflict: the bid has ended.")
    def test_an_ended_bid_cannot_be_changed(self, bed: Bed) -> None:
        """Changing a bid that has ended raises Conflict."""
        bid = bed.place()
        bed.amended(bid, limit=bid.limit * 2)
        _end(bed, bid)

        refuses(Conflict, lambda: bed.market.amend(bid.id, limit=bid.limit))

    @states("market.amend", "PriceTooLow: the limit is under the floor.")
    def test_a_limit_cannot_be_lowered_under_the_floor(self, bed: Bed) -> None:
        """A new limit of a cent less than the floor raises PriceTooLow, and the old limit stands."""
        quote = bed.quote()
        if quote.floor.to_cents() == 0:
            return
        bid = bed.place(bed.request(quote=quote))
        low = Price.from_cents(quote.floor.to_cents() - 1)
        bed.amended(bid, limit=bid.limit)

        refuses(PriceTooLow, lambda: bed.market.amend(bid.id, limit=low))

        assert bid.limit == bed.market.bid(bid.id).limit

    @states("market.amend", "Unsupported: this provider can't change that.")
    def test_a_change_is_made_or_refused_whole(self, bed: Bed) -> None:
        """A provider that can't change a thing raises Unsupported and leaves the bid as it was; others change it."""
        bid = bed.place()
        try:
            limit = bed.market.amend(bid.id, limit=bid.limit * 2).limit
        except Unsupported:
            limit = bid.limit
        try:
            state = bed.market.amend(bid.id, paused=True).state
        except Unsupported:
            state = None
        now = bed.market.bid(bid.id)

        assert limit == now.limit
        assert (state is BidState.PAUSED) is (now.state is BidState.PAUSED)

    @states(
        "market.withdraw",
        "End a bid and give back its nodes for good, boot disks too; nothing more is charged from then on.",
    )
    def test_a_withdrawn_bid_is_over_for_good(self, bed: Bed) -> None:
        """A withdrawn bid ends as TERMINATED, holds no node, and never comes back."""
        bid, _ = bed.granted()
        _end(bed, bid)
        bed.until("no node held", lambda: not bed.allocation(bid).nodes)
        bed.a_while()

        assert BidState.TERMINATED is bed.state(bid)
        assert () == bed.allocation(bid).nodes

    @states(
        "market.withdraw",
        "End a bid and give back its nodes for good, boot disks too; nothing more is charged from then on.",
    )
    def test_a_withdrawn_bid_costs_nothing_more(self, bed: Bed) -> None:
        """From the withdrawal on, no paid stretch of the bid is open, and none is added."""
        usage = bed.usage
        bid, _ = bed.granted()
        bed.a_while()
        bed.market.withdraw(bid.id)
        before = usage.usage([bid.id])[bid.id]
        bed.a_while()

        assert [] == [each for each in before if each.until is None]
        assert before == usage.usage([bid.id])[bid.id]

    @states("market.withdraw", "Withdrawing an ended or unknown bid does nothing.")
    def test_what_is_not_there_may_be_withdrawn(self, bed: Bed) -> None:
        """Withdrawing a bid that has ended, or an id that is nobody's, raises nothing and ends nothing else."""
        ended, other = bed.place(), bed.place()
        _end(bed, ended)
        bed.market.withdraw(ended.id)
        bed.market.withdraw(bed.rig.no_such_id)

        assert BidState.TERMINATED is bed.state(ended)
        assert bed.market.bid(other.id).is_live

    @states(
        "market.withdraw",
        "Returns once the provider has taken it in; the nodes may take a little longer to go.",
    )
    def test_nodes_go_after_a_withdrawal(self, bed: Bed) -> None:
        """A withdrawal that has returned needs no second one: nobody asks again, and the nodes go."""
        bid, _ = bed.granted()
        bed.market.withdraw(bid.id)

        assert bed.until("no node held", lambda: not bed.allocation(bid).nodes)
        assert bed.until("the bid ended", lambda: bed.state(bid) is BidState.TERMINATED)

    @states("market.withdraw", "May be repeated.")
    def test_a_withdrawal_may_be_repeated(self, bed: Bed) -> None:
        """Withdrawing twice in a row is withdrawing once."""
        bid = bed.place()
        bed.market.withdraw(bid.id)
        bed.market.withdraw(bid.id)

        assert bed.until("the bid ended", lambda: bed.state(bid) is BidState.TERMINATED)


def _end(bed: Bed, bid: Bid) -> None:
    bed.market.withdraw(bid.id)
    bed.until("the bid ended", lambda: bed.state(bid) is BidState.TERMINATED)
