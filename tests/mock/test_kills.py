"""A world that processes share stays whole when they are killed anywhere."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from flow_core.domain.allocation import NodeState
from flow_core.domain.bid import BidState
from tests.mock.world_user import Door

ROOT = Path(__file__).parents[2]
PROCESSES = 3
READY, ACCEPTED = b"ready\n", b"accepted\n"
UP = (NodeState.RUNNING, NodeState.LEAVING)


def run_until_killed(root: Path, seed: str, after_s: float, *, words: tuple[bytes, ...]) -> None:
    """Let processes use the world together, and kill each in the middle of what it does, once it said `words`."""
    children = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.mock.world_user", str(root), f"{seed}x{number}"],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for number in range(PROCESSES)
    ]  # fmt: skip
    try:
        for child in children:
            assert child.stdout is not None
            for word in words:
                assert word == child.stdout.readline(), child.stderr and child.stderr.read()
        for child in children:
            with pytest.raises(subprocess.TimeoutExpired):
                child.wait(timeout=after_s)
    finally:
        for child in children:
            child.kill()
            child.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_world_is_whole_after_kills_at_any_moment(tmp_path: Path, seed: int):
    """No accepted bid is missing, no instance is given twice, nodes are up as the world says, and the ledger holds."""
    chance = random.Random(seed)
    # The first may be killed before any bid was accepted, which is a moment too.
    for turn, words in enumerate([(READY,), (READY, ACCEPTED), (READY,)]):
        run_until_killed(tmp_path, f"{seed}x{turn}", chance.uniform(0.05, 0.3), words=words)
    with sqlite3.connect(tmp_path / "world.sqlite") as connection:
        whole = connection.execute("PRAGMA integrity_check").fetchone()
    door = Door(tmp_path)
    door.engine.catch_up()
    accepted = {line for path in tmp_path.glob("accepted-*") for line in path.read_text().split()}
    door.engine.look(None, lambda *_: None)
    with door.store.reading() as world:
        bids, nodes, owed = world.bids.all(), world.nodes.live(), world.effects.count()
        held = sum(bid.quantity for bid in world.bids.live() if bid.is_holding)
        counts = {bid.id: len(world.nodes.in_group(bid.id)) for bid in world.bids.live()}
        running = {node.id for node in nodes if node.is_booted}
    lines = door.control.ledger().lines

    assert ("ok",) == whole
    assert accepted
    assert accepted <= {bid.id for bid in bids}
    assert held <= 8
    assert 0 == owed
    assert running == {path.name for path in door.nodes.root.iterdir()}
    assert all(counts[bid.id] in (0, bid.quantity) for bid in bids if bid.is_live)
    assert len(lines) == len(bids)
    assert all(
        line.stretches[-1].until is not None
        for line in lines
        if line.stretches and not line.is_live
    )
    assert {BidState.TERMINATED} >= {bid.state for bid in bids if not bid.is_live}
