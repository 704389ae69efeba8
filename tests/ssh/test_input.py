"""Input that comes piece by piece, over a real server."""

from __future__ import annotations

import threading
from contextlib import closing

import pytest

from flow_core.ports.shell import Call, NodeExit, NodeLost, NodeOutput
from tests.ssh.conftest import Answer, a_node

MEGA = 1 << 20


def test_pieces_are_sent_as_they_come(shell, node):
    """A command answers the first piece before the second is there, and reads the end after the last."""
    answered = threading.Event()

    def pieces():
        yield b"one\n"
        yield b"two\n" if answered.wait(30) else b"late\n"

    seen = b""
    with closing(shell.run_many([Call(node=node, line="cat; exit 3", stdin=pieces())])) as events:
        for event in events:
            if isinstance(event, NodeOutput):
                seen += event.data
                answered.set()

    assert (b"one\ntwo\n", NodeExit(node, 3)) == (seen, event)


@pytest.mark.slow
def test_much_input_is_never_held_whole(shell, node):
    """Of 512 MB for a command that reads none, a few are taken; for one that reads, all arrive."""
    taken = []

    def pieces():
        for _ in range(512):
            taken.append(1)
            yield bytes(MEGA)

    deaf = Answer(shell, node, "sleep 1", stdin=pieces())
    held = len(taken)
    counted = Answer(shell, node, "wc -c", stdin=pieces())

    assert 0 == deaf.code
    assert held < 16
    assert 512 * MEGA == int(counted.out)


def test_input_that_breaks_off(shell, node):
    """An input that raises loses its call, for that reason, and touches no other."""
    other = a_node(node.address.port, name="inst_other", rank=1)

    def pieces():
        yield b"x"
        raise OSError("no more disk")

    calls = [Call(node=node, line="cat", stdin=pieces()), Call(node=other, line="cat", stdin=b"y")]
    events = list(shell.run_many(calls))

    assert NodeLost(node, "its input broke off: no more disk") in events
    assert NodeExit(other, 0) in events


def test_a_slow_source_holds_up_nobody(shell, node):
    """A call whose input never comes is ended by its limit, and the other has ended long before."""
    other = a_node(node.address.port, name="inst_other", rank=1)
    never = threading.Event()

    def pieces():
        never.wait(60)
        yield b""

    calls = [Call(node=node, line="cat", stdin=pieces()), Call(node=other, line="echo hi")]
    last = [e for e in shell.run_many(calls, timeout_s=2.0) if not isinstance(e, NodeOutput)]
    never.set()

    assert NodeExit(other, 0) == last[0]
    assert isinstance(last[1], NodeLost)
