"""One name is one allocation, whoever is killed when; and one look is one question to Slurm."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from flow_core.domain.bid import Bid, BidState
from flow_core.errors import Transient
from flow_providers.conformance.bed import Bed, refuses
from flow_providers.slurm.estate import Estate
from flow_providers.slurm.login import Here
from tests.slurm_provider.cluster import RunningCluster
from tests.slurm_provider.test_kit import SlurmRig

pytestmark = [pytest.mark.slurm, pytest.mark.slow]


@pytest.fixture
def bed(tmp_path: Path, slurm: RunningCluster) -> Iterator[Bed]:
    """A provider over the session's cluster, and what a test makes there taken away."""
    bed = Bed(SlurmRig(tmp_path, slurm))
    yield bed
    bed.tidy()


def shared(tmp_path: Path) -> Path:
    """Where bids are."""
    return tmp_path / "shared" / "bids"


def test_two_at_once_place_one(bed: Bed, slurm: RunningCluster):
    """Of four who place one name at one moment, one does; the others get its bid, or are told to look again."""
    request = bed.request()

    def place(_: int) -> str:
        try:
            return bed.rig.provider().market.place(request).id
        except Transient:
            return request.name

    with ThreadPoolExecutor(4) as pool:
        ids = set(pool.map(place, range(4)))
    named = slurm.run("squeue", "-h", "-n", request.name, "-o", "%A").stdout.split()

    assert {request.name} == ids
    assert 1 == len(named)


def test_killed_before_the_number_was_written(bed: Bed, tmp_path: Path):
    """An allocation whose number nobody wrote down is found by its comment, and placing it again returns it."""
    request = bed.request()
    bid = bed.place(request)
    number = shared(tmp_path) / bid.id / "job"
    before = number.read_text()
    number.unlink()
    again = bed.rig.provider().market.place(request)

    assert bid.id == again.id
    assert before == number.read_text()


def test_killed_before_slurm_was_asked(bed: Bed, tmp_path: Path):
    """A name that somebody has just claimed is left alone; a claim of a minute ago is taken over."""
    request = bed.request()
    claim = shared(tmp_path) / request.name
    claim.mkdir(parents=True)

    refuses(Transient, lambda: bed.market.place(request))
    assert [] == list(bed.market.bids())
    os.utime(claim, (0, 0))
    assert bed.place(request).is_live


def test_an_ended_name_may_be_placed_again(bed: Bed):
    """After a withdrawal the same name makes a new bid, with an id of its own."""
    request = bed.request()
    first = bed.place(request)
    bed.market.withdraw(first.id)
    second = bed.place(request)
    found = bed.market.bids(name=request.name)

    assert first.id != second.id
    assert [second.id, first.id] == [bid.id for bid in found]
    assert [True, False] == [bid.is_live for bid in found]


def test_a_failed_node_is_told(bed: Bed, slurm: RunningCluster):
    """When a node goes down the task waits again, and then runs again elsewhere.

    Why it waits is told where Slurm writes it into the task's output, which a busy one leaves out now and then.
    """
    bid, _ = bed.granted()

    def waiting() -> Bid | None:
        found = bed.market.bid(bid.id)
        return found if found.state is BidState.OPEN else None

    def become(nodes: Collection[str], state: str) -> None:
        names = f"nodename={','.join(nodes)}"
        slurm.run("scontrol", "update", names, f"state={state}", "reason=test")

    its = {slurm.run("squeue", "-h", "-n", bid.name, "-o", "%N").stdout.strip()}
    others = set(slurm.run("sinfo", "-h", "-N", "-o", "%N").stdout.split()) - its
    become(others, "drain")  # else it waits for a moment that a slow look may miss
    try:
        become(its, "down")
        waits = bed.until("the bid waits again", waiting)
        become(others, "resume")
        bed.nodes_up(bid)
    finally:
        become(its | others, "resume")

    assert waits.detail.removeprefix("a node failed; ").startswith("waiting")


class Counting(Here):
    """A login node that counts its squeues."""

    def ask(self, verb: str, told: Mapping[str, object]) -> dict[str, Any]:
        COUNTED.append(bool(told.get("queue")))
        return super().ask(verb, told)


COUNTED: list[bool] = []


def test_one_question_for_all(bed: Bed, tmp_path: Path):
    """A look at twenty bids asks the desk once, and Slurm at most once; looks in one tick share the answer."""
    bids = bed.place_many(20)
    COUNTED.clear()
    estate = Estate(Counting({}), str(tmp_path / "shared"))
    worlds = [estate.look() for _ in range(3)]

    assert [True] == COUNTED
    assert {bid.id for bid in bids} == set(worlds[-1].live)
