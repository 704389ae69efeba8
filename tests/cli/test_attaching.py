"""`flow volume attach` over a pretend cloud in memory."""

from __future__ import annotations

import pytest

from flow_core.domain.bid import BidState


@pytest.fixture
def box(flow) -> str:
    """An instance that runs; its name."""
    flow("instance", "create", "-i", "8xh100", "--name", "box")
    return "box"


@pytest.fixture
def data(flow, session, box) -> str:
    """A volume where the instance runs; its name."""
    region = session.tasks.record(box).region
    flow("volume", "create", "-s", "10", "--name", "data", "--region", region)
    return "data"


def state(session, box) -> BidState:
    """Where the instance's bid is."""
    return session.provider.market.bid(session.tasks.record(box).bid_id).state


def test_a_volume_is_given_to_what_runs(flow, session, clock, box, data):
    """The task is paused for it and resumed, has the volume once, and runs again; the history says so."""
    answer = flow("volume", "attach", data, box, "--yes")
    record = session.tasks.record(box)
    (volume,) = session.storage.volumes()
    clock.advance(minutes=10)

    assert (0, "✓ data is attached to box, at /mnt/data\n") == (answer.code, answer.err)
    assert (record.bid_id,) == volume.attached_to
    assert BidState.ALLOCATED is state(session, box)
    assert "volume data was attached at /mnt/data" in flow("status", box).out
    assert ["box"] == flow("--json", "volume", "list").document["volumes"][0]["used_by"]


def test_what_is_paused_stays_paused(flow, session, box, data):
    """A paused instance is given the volume and not resumed."""
    flow("instance", "pause", box)

    assert 0 == flow("volume", "attach", data, box, "--yes").code
    assert BidState.PAUSED is state(session, box)
    assert 1 == len(session.storage.volume(data).attached_to)


def test_attaching_again_restarts_nothing(flow, session, box, data):
    """A volume that is there already needs no pause and no answer."""
    flow("volume", "attach", data, box, "--yes")
    before = flow("status", box).out.count("a pause was asked for")
    again = flow("volume", "attach", data, box)

    assert 0 == again.code
    assert before == flow("status", box).out.count("a pause was asked for")


def test_nothing_is_restarted_unasked(flow, session, box, data):
    """Without a terminal and without --yes nothing happens; a no is taken for one."""
    unasked = flow("volume", "attach", data, box)
    refused = flow("volume", "attach", data, box, typed="n\n", terminal=True)

    assert 0 not in (unasked.code, refused.code)
    assert () == session.storage.volume(data).attached_to
    assert BidState.ALLOCATED is state(session, box)


def test_a_volume_that_can_not_be_reached_pauses_nothing(flow, session, box):
    """One of another region, one that isn't there, and a block volume for two nodes are refused before a pause."""
    here = session.tasks.record(box).region
    other = next(each.region for each in session.provider.market.quotes() if each.region != here)
    flow("volume", "create", "-s", "10", "--name", "far", "--region", other)
    flow("volume", "create", "-s", "10", "--name", "disk", "-i", "block", "--region", here)
    flow("instance", "create", "-i", "8xh100", "--name", "two", "-N", "2", "--region", here)
    far = flow("volume", "attach", "far", box, "--yes")
    gone = flow("volume", "attach", "nope", box, "--yes")
    block = flow("volume", "attach", "disk", "two", "--yes")

    assert 0 not in (far.code, gone.code, block.code)
    assert f"volume 'far' lies in {other}, 'box' in {here}" in far.err
    assert "belongs to one node, not 2" in block.err
    assert "a pause was asked for" not in flow("status", box).out


def test_a_refusal_resumes_what_was_paused_for_it(flow, session, pretend_cloud, box, data):
    """When attaching is not answered time and again, the instance competes again all the same."""
    for _ in range(9):
        pretend_cloud.fail_next("attach")
    answer = flow("volume", "attach", data, box, "--yes")

    assert 0 != answer.code
    assert BidState.PAUSED is not state(session, box)
    assert () == session.storage.volume(data).attached_to
