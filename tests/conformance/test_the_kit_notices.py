"""The kit itself: it fails where a provider breaks its word, and skips only what it may."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve

from flow_core.domain.bid import BidState
from flow_core.domain.money import Price
from flow_core.errors import Conflict, NotFound
from flow_core.ports.provider import Provider
from flow_providers.conformance import Controls, ProviderContract
from flow_providers.conformance.bed import Bed
from flow_providers.mock.pretend import PretendCloud
from flow_providers.mock.rules import IN_MEMORY, SameName
from tests.conformance.test_mock_in_memory import MemoryRig


class Liar:
    """A role that tells the truth but for the methods it was given a lie for; a lie is told the truth first."""

    def __init__(self, truth: object, **lies: Callable[..., object]) -> None:
        self.truth = truth
        self._lies = lies

    def __getattr__(self, name: str) -> Any:
        truth = getattr(self.truth, name)
        lie = self._lies.get(name)
        if lie is None:
            return truth
        return lambda *args, **named: lie(truth, *args, **named)


def run(test: str, rig: MemoryRig) -> None:
    """Run one test of the kit, by name."""
    bed = Bed(rig)
    try:
        getattr(ProviderContract(), test)(bed)
    finally:
        bed.tidy()


def cheap(truth, *args):
    """Quotes a cent under the floor."""
    return [evolve(quote, price=Price(quote.floor.micros - 10_000)) for quote in truth(*args)]


def oldest_first(truth, **filters):
    """Lists bids the wrong way round."""
    return list(reversed(truth(**filters)))


def first_page(truth, **filters):
    """Forgets that there are more pages."""
    return list(truth(**filters))[:20]


def any_owner(truth, **filters):
    """Takes a name for the beginning of a name."""
    name = filters.pop("name", None)
    return [bid for bid in truth(**filters) if name is None or bid.name.startswith(name)]


def deaf(truth, *args, **named):
    """Does nothing."""


def harsh(truth, bid_id):
    """Refuses to withdraw what isn't there."""
    if not bid_id.startswith("bid_"):
        raise NotFound("no such bid")
    return truth(bid_id)


def unmoved(truth, bid_id, **changes):
    """Says that a change was made, and makes none."""
    return evolve(truth(bid_id), **{key: value for key, value in changes.items() if key == "limit"})


def only_known(truth, bid_ids):
    """Leaves out bids without nodes."""
    return {key: each for key, each in truth(bid_ids).items() if each.nodes}


def without_notice(truth, bid_ids):
    """Never tells of a notice."""
    return {key: evolve(each, notice=None) for key, each in truth(bid_ids).items()}


def still_there(truth, bid_id):
    """Never tells that a bid has ended."""
    return evolve(truth(bid_id), state=BidState.ALLOCATED)


def raises(truth, calls, **named):
    """Raises for a node instead of telling of it."""
    for event in truth(calls, **named):
        if not hasattr(event, "code"):
            raise Conflict("the node is gone")
        yield event


def stuttering(truth, bid_id, rank, *, offset=0, limit=1 << 20):
    """Reads a byte twice at every turn."""
    return truth(bid_id, rank, offset=max(offset - 1, 0), limit=limit)


def never_closed(truth, bid_ids):
    """Charges for ever."""
    return {
        key: [evolve(stretch, until=None) for stretch in each]
        for key, each in truth(bid_ids).items()
    }


def nobody(truth):
    """Knows nobody."""
    return []


def backwards(truth, *args, **named):
    """Tells a history from its end."""
    points = list(truth(*args, **named))
    return [*points, evolve(points[0], at=points[0].at.replace(year=2000))]


LIES = [
    ("market", {"quotes": cheap}, "test_no_price_is_below_the_floor"),
    ("market", {"bids": oldest_first}, "test_all_bids_are_listed_newest_first"),
    ("market", {"bids": first_page}, "test_a_long_listing_is_complete"),
    ("market", {"bids": any_owner}, "test_bids_can_be_asked_for_by_name_by_id_and_by_life"),
    ("market", {"amend": unmoved}, "test_a_new_limit_is_recorded"),
    ("market", {"withdraw": harsh}, "test_what_is_not_there_may_be_withdrawn"),
    ("market", {"bid": still_there}, "test_a_withdrawal_may_be_repeated"),
    ("fleet", {"allocations": only_known}, "test_unknown_and_ended_bids_hold_nothing"),
    (
        "fleet",
        {"allocations": without_notice},
        "test_a_notice_stands_while_the_bid_is_being_preempted",
    ),
    ("shell", {"run_many": raises}, "test_a_node_that_is_gone_is_lost"),
    ("logs", {"read": stuttering}, "test_reading_on_gives_the_whole_log"),
    ("usage", {"usage": never_closed}, "test_preempted_time_is_free"),
    ("volumes", {"delete": deaf}, "test_a_volume_in_use_is_not_deleted"),
    ("account", {"people": nobody}, "test_we_are_among_the_people"),
    ("catalog", {"history": backwards}, "test_history_is_oldest_first_and_ends_in_time"),
]


class LyingRig(MemoryRig):
    """A cloud, one role of which lies to the test; what tidies up afterwards hears the truth."""

    many = 30
    patience_s = 900.0

    def __init__(self, role: str, lies: dict[str, Callable[..., object]]) -> None:
        self._role = role
        self._lies = lies

    def provider(self) -> Provider:
        """The cloud, with the lie in it."""
        true = super().provider()
        return evolve(true, **{self._role: Liar(getattr(true, self._role), **self._lies)})


@pytest.mark.parametrize(("role", "lies", "test"), LIES, ids=[each[2] for each in LIES])
def test_a_broken_promise_fails_its_test(role, lies, test):
    """A provider that breaks one sentence fails the test of it, which it passes when it tells the truth."""
    rig = LyingRig(role, lies)
    bed = Bed(rig)
    check = getattr(ProviderContract(), test)
    run(test, MemoryRig())

    with pytest.raises((AssertionError, pytest.fail.Exception, Conflict, NotFound)):
        check(bed)


def test_a_second_bid_of_a_name_is_noticed():
    """A market that makes two bids of one request fails the test of unique names."""

    class TwiceRig(MemoryRig):
        def provider(self) -> Provider:
            self.cloud = PretendCloud(rules=evolve(IN_MEMORY, same_name=SameName.ANOTHER))
            return self.cloud.provider

    with pytest.raises(AssertionError):
        run("test_a_name_is_placed_once", TwiceRig())


def test_a_missing_control_is_skipped_with_a_sentence():
    """A test whose control the rig hasn't got is skipped, and says which it was."""

    class BareRig(MemoryRig):
        may_lack = None
        controls = Controls()

    with pytest.raises(pytest.skip.Exception, match="no control 'outbid'"):
        run("test_a_preempted_bid_has_no_running_node", BareRig())


def test_a_missing_role_is_skipped_with_a_sentence():
    """A test of a role that the provider doesn't play is skipped, and says which it was."""

    class ThreeRoles(MemoryRig):
        may_lack = ("usage",)

        def provider(self) -> Provider:
            return evolve(super().provider(), usage=None)

    with pytest.raises(pytest.skip.Exception, match="mock lacks the usage role"):
        run("test_paused_time_is_free", ThreeRoles())


def test_what_may_not_be_lacked_is_a_failure():
    """Where a rig says what it may lack, the lack of anything else fails the test that needs it."""

    class Strict(MemoryRig):
        may_lack = ()

    with pytest.raises(pytest.fail.Exception, match="may_lack"):
        run("test_a_teammate_is_among_the_people", Strict())


def test_what_a_test_made_is_taken_away():
    """When a test is over, its bids have ended and its volumes are gone, those that were never heard of too."""
    rig = MemoryRig()
    bed = Bed(rig)
    bid = bed.place()
    bed.create_volume()
    bed.market.place(bed.request())
    bed.tidy()

    assert bid.id in {each.id for each in bed.market.bids()}
    assert [] == [each for each in bed.market.bids() if each.is_live]
    assert [] == list(bed.volumes.volumes())


def test_a_wait_is_bounded():
    """What never comes fails the test once the rig's patience has passed, and says what was awaited."""
    bed = Bed(MemoryRig())
    began = bed.now
    with pytest.raises(pytest.fail.Exception, match="a miracle"):
        bed.until("a miracle", lambda: None)

    assert MemoryRig.patience_s == (bed.now - began).total_seconds()
