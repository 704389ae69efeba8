"""The usage role: what was held, when, at what price."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from flow_core.domain.bid import Bid
from flow_core.domain.budget import Usage
from flow_core.domain.money import Price
from flow_providers.conformance.bed import Bed
from flow_providers.conformance.contracts.base import Contract
from flow_providers.conformance.stating import states

_ORDER = "Return each bid's paid stretches in order of time, without overlap, the last open while nodes are held."
_UNCHARGED = "Time that isn't charged (starting, preempted, paused) is not in it."


class UsageContract(Contract):
    """Everything that `flow_core.ports.usage.UsageHistory` promises."""

    @states("usage.UsageHistory", "Knows the stretches of paid time behind each bid.")
    def test_held_nodes_are_in_the_usage(self, bed: Bed) -> None:
        """A bid that holds nodes has a stretch of them all, at no more than its limit, in the bid's name."""
        bid, _ = bed.granted()
        stretch = _paid(bed, bid)[-1]

        assert bid.id == stretch.bid_id
        assert bid.quantity == stretch.nodes
        assert stretch.price <= bid.limit

    @states("usage.usage", _ORDER)
    def test_stretches_are_in_order_and_the_last_is_open(self, bed: Bed) -> None:
        """While nodes are held only the last stretch is open; it closes with the bid, and none overlaps another."""
        bid, _ = bed.granted()
        held = _paid(bed, bid)
        bed.a_while()
        bed.market.withdraw(bid.id)
        bed.until("the last stretch closed", lambda: all(each.until for each in _usage(bed, bid)))
        after = _usage(bed, bid)

        assert [None] == [each.until for each in held if each.until is None or each is held[-1]]
        _assert_in_order(held)
        _assert_in_order(after)
        assert bid.created_at <= after[0].since

    @states("usage.usage", "Every id asked for is answered.")
    def test_bids_that_never_held_anything_have_no_stretch(self, bed: Bed) -> None:
        """An id that is nobody's is answered with nothing, beside a bid that holds nodes."""
        unknown = bed.rig.no_such_id
        bid, _ = bed.granted()
        _paid(bed, bid)
        usage = bed.usage.usage([unknown, bid.id])

        assert {unknown, bid.id} == set(usage)
        assert [] == list(usage[unknown])
        assert usage[bid.id]

    @states("usage.usage", _UNCHARGED)
    def test_time_before_the_nodes_run_is_free(self, bed: Bed) -> None:
        """No stretch begins before the bid has a node that runs."""
        usage = bed.usage
        bid = bed.place()

        def up() -> bool:
            paid = list(usage.usage([bid.id])[bid.id])
            reachable = any(node.is_reachable for node in bed.allocation(bid).nodes)
            assert reachable or not paid
            return reachable

        bed.until("a node up", up)

    @states("usage.usage", _UNCHARGED)
    def test_preempted_time_is_free(self, bed: Bed) -> None:
        """Between a preemption and the next allocation no time is charged; then a new stretch begins."""
        relent = bed.control("relent", bed.rig.controls.relent)
        bid, _ = bed.granted()
        _paid(bed, bid)
        bed.preempted(bid)
        lost = list(_usage(bed, bid))
        bed.a_while()
        still = list(_usage(bed, bid))
        relent(bid)
        bed.nodes_up(bid)
        again = _paid(bed, bid)

        assert [] == [each for each in lost if each.until is None]
        assert lost == still == list(again[: len(lost)])
        assert len(again) > len(lost)
        _assert_in_order(again)

    @states("usage.usage", _UNCHARGED)
    def test_paused_time_is_free(self, bed: Bed) -> None:
        """While a bid is paused and its nodes have stopped, no stretch is open."""
        bid, _ = bed.granted()
        _paid(bed, bid)
        bed.amended(bid, paused=True)
        bed.nodes_down(bid)
        bed.until("the last stretch closed", lambda: all(each.until for each in _usage(bed, bid)))
        paused = list(_usage(bed, bid))
        bed.a_while()

        assert paused == list(_usage(bed, bid))

    @states("usage.usage", "A stretch ends where the price or the number of nodes changed.")
    def test_a_new_price_begins_a_new_stretch(self, bed: Bed) -> None:
        """When the price moves under a bid's limit, a stretch ends and the next begins at the new one."""
        set_price = bed.control("set_price", bed.rig.controls.set_price)
        quote = bed.quote()
        low = max(quote.price, Price.from_cents(1))
        bid, _ = bed.granted(bed.request(quote=quote, limit=low * 4))
        first = _paid(bed, bid)[-1]
        bed.a_while()
        set_price(quote, low * 2)
        changed = bed.until(
            "the new price charged",
            lambda: each if (each := _usage(bed, bid))[-1].price == low * 2 else None,
        )

        assert first.price != changed[-1].price
        assert changed[-1].since == changed[-2].until
        _assert_in_order(changed)

    @states("usage.usage", "May be repeated.")
    def test_asking_for_usage_changes_nothing(self, bed: Bed) -> None:
        """Usage read twice is the same."""
        bid, _ = bed.granted()
        _paid(bed, bid)

        assert list(_usage(bed, bid)) == list(_usage(bed, bid))


def _usage(bed: Bed, bid: Bid) -> Sequence[Usage]:
    return bed.usage.usage([bid.id])[bid.id]


def _paid(bed: Bed, bid: Bid) -> Sequence[Usage]:
    """Wait until the bid is charged for, and return its stretches then."""

    def look() -> Sequence[Usage] | None:
        found = _usage(bed, bid)
        return found if found and found[-1].until is None else None

    return bed.until("the bid charged for", look)


def _assert_in_order(stretches: Sequence[Usage]) -> None:
    for each, following in pairwise(stretches):
        assert each.until is not None
        assert each.since <= each.until <= following.since
