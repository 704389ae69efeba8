"""`flow instance limit`, `pause` and `resume` over a pretend cloud in memory."""

from __future__ import annotations

import pytest

from flow_core.domain.money import Price
from flow_core.errors import Transient


@pytest.fixture
def box(flow) -> str:
    """An instance that runs, at most $30 an hour; its name."""
    flow("instance", "create", "-i", "8xh100", "--name", "box", "--max-price-per-hour", "30")
    return "box"


def test_a_limit_is_changed_in_both_places(flow, session, box):
    """The provider has the new limit and so has the journal, and the old one is said."""
    answer = flow("instance", "limit", box, "$35.50")
    record = session.tasks.record(box)

    assert 0 == answer.code
    assert "at most $35.50/hr per instance (it was $30.00/hr)" in answer.err
    assert Price.parse(35.5) == record.limit == session.provider.market.bid(record.bid_id).limit
    assert "from $30.00/hr to $35.50/hr" in flow("status", box).out


def test_a_limit_under_the_floor_changes_nothing(flow, session, box):
    """The provider's refusal is told, and the journal keeps the old limit."""
    answer = flow("instance", "limit", box, "0.01")

    assert 8 == answer.code
    assert Price.parse(30) == session.tasks.record(box).limit


def test_a_limit_that_is_no_price_is_refused(flow, box):
    """Words and nothing are refused before the provider is asked."""
    assert 2 == flow("instance", "limit", box, "cheap").code
    assert 8 == flow("instance", "limit", box, "0").code


def test_a_limit_whose_answer_was_not_heard_is_reckoned_with(flow, session, pretend_cloud, box):
    """A higher limit may hold already, so that a ceiling on spending counts on it."""
    pretend_cloud.fail_next("amend", after=True)

    with pytest.raises(Transient):
        session.amending.limit(box, Price.parse(40))

    assert Price.parse(40) == session.tasks.record(box).limit


def test_a_pause_ends_the_cost_and_a_resume_goes_on(flow, session, clock, box):
    """Paused hours cost nothing; after a resume the instance runs again, and was not preempted."""
    assert 0 == flow("instance", "pause", box).code
    clock.advance(minutes=10)
    before = session.costs.of([session.tasks.record(box)])[session.tasks.record(box).token].spent
    clock.advance(hours=5)
    paused = session.tasks.view(box)
    after = session.costs.of([paused.record])[paused.record.token].spent

    assert "paused" == paused.state.value
    assert before == after
    answer = flow("instance", "resume", box)
    assert (0, True) == (answer.code, "box is bidding" in answer.err)
    clock.advance(hours=1)
    resumed = session.tasks.view(box)
    assert "running" == resumed.state.value
    assert 0 == resumed.record.preemptions


def test_pausing_twice_is_pausing_once(flow, session, clock, box):
    """A second pause, or resume, changes nothing and succeeds."""
    assert [0, 0] == [flow("instance", "pause", box).code for _ in range(2)]
    clock.advance(minutes=10)
    assert [0, 0] == [flow("instance", "resume", box).code for _ in range(2)]


def test_a_paused_instance_outlives_its_time_unpaid(flow, session, clock):
    """A limit on the time that nodes are held doesn't count paused time."""
    flow("instance", "create", "-i", "8xh100", "--name", "box", "--max-run-time", "2h")
    flow("instance", "pause", "box")
    clock.advance(hours=9)

    assert "paused" == session.tasks.view("box").state.value


def test_what_has_ended_cannot_be_changed(flow, box):
    """A deleted instance has no bid any more."""
    flow("instance", "delete", box, "--yes")

    assert 13 == flow("instance", "limit", box, "40").code
    assert 13 == flow("instance", "pause", box).code
    assert 4 == flow("instance", "resume", "nobody").code
