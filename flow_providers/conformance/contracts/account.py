"""The account role: who we are, and who else bids here."""

from __future__ import annotations

from flow_providers.conformance.bed import Bed
from flow_providers.conformance.contracts.base import Contract
from flow_providers.conformance.stating import states


class AccountContract(Contract):
    """Everything that `flow_core.ports.account.Account` promises."""

    @states("account.Account", "Tells people apart.")
    def test_everyone_has_an_id_and_a_name(self, bed: Bed) -> None:
        """No two people share an id, and each has a name to show."""
        people = bed.account.people()

        assert len(people) == len({person.id for person in people})
        assert all(person.id and person.name for person in people)

    @states(
        "account.me",
        "Return the person whose credentials these are; its id is what `Bid.owner` holds for our bids.",
    )
    def test_our_bids_are_ours(self, bed: Bed) -> None:
        """The owner of a bid that we place is the id that `me` tells."""
        me = bed.account.me()
        bid = bed.place()

        assert me.id == bid.owner == bed.market.bid(bid.id).owner

    @states("account.people", "Return everyone whose bids may be seen here, us included.")
    def test_we_are_among_the_people(self, bed: Bed) -> None:
        """`people` holds us, and so the owner of every bid listed here."""
        bed.listed(bed.place())
        known = {person.id for person in bed.account.people()}

        assert bed.account.me().id in known
        assert {bid.owner for bid in bed.market.bids()} <= known

    @states("account.people", "Return everyone whose bids may be seen here, us included.")
    def test_a_teammate_is_among_the_people(self, bed: Bed) -> None:
        """Someone else who bids in the account is in `people`, and their bid says so."""
        teammate_bids = bed.control("teammate_bids", bed.rig.controls.teammate_bids)
        theirs = teammate_bids(bed.place())

        assert theirs.owner != bed.account.me().id
        assert theirs.owner in {person.id for person in bed.account.people()}
        assert theirs.owner == bed.market.bid(theirs.id).owner
