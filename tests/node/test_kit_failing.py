"""A rank that fails for good ends the others, with no client: the kit tells them, and they end their commands."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from flow_adapters.node_files import load_kit
from flow_core.domain.run import ENDED_FOR, RunPhase, RunReport
from flow_core.node import flow_node
from flow_core.node.kit import failing
from tests.node.conftest import BareNode
from tests.node.kit import PATIENCE_S, wait_for_bytes, wait_for_lock, wait_for_word

pytestmark = pytest.mark.slow
HOSTS = ("127.1.0.1", "127.1.0.2", "127.1.0.3")
SETUP = {"attending": {"failing": True}}
#: Stands in for OpenSSH's client: keeps what it was asked, and has no connection at first.
SSH = """#!/bin/sh
for last; do :; done
for host; do [ "$host" = "$last" ] || before=$host; done
echo "$before $last" >>"$FLOW_HOME/called"
! mkdir "$FLOW_HOME/answers" 2>/dev/null || exit 255
"""


@pytest.fixture
def node(tmp_path: Path) -> Iterator[BareNode]:
    """Rank 1 of three nodes, which reaches its fellows by a program of the test's."""
    node = BareNode(tmp_path)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "ssh").write_text(SSH)
    (programs / "ssh").chmod(0o755)
    node.env["PATH"] = f"{programs}:{node.env['PATH']}"
    yield node
    node.ask("stop")
    node.close()
    if (node.home / "attend.lock").exists():
        wait_for_lock(node.home / "attend.lock")


def begin(node: BareNode, line: str, **about: object) -> None:
    """Have the node run a command as rank 1."""
    node.take(line, num_nodes=3, **about)
    node.start()
    wait_for_word(node.home / "log", "waiting for all 3 nodes")
    (node.home / "ssh").mkdir()
    (node.home / "ssh" / "id").touch()
    deliver(node, 1)


def deliver(node: BareNode, number: int) -> None:
    """Deliver a membership as a client does."""
    kit = load_kit()
    assert 0 == node.deliver(number, rank=1, hosts=HOSTS, setup=SETUP, kit=kit)


def hear(node: BareNode, number: float) -> None:
    """Have rank 2 tell that the attempt with that membership ended with 3."""
    line = [node.env["FLOW_PYTHON"], node.home / "kit.zip", "fallen", "2", repr(number), "3"]
    subprocess.run(line, env=node.env, check=True, timeout=PATIENCE_S)


def look(node: BareNode) -> None:
    """Have the node look once more, beside the process that does all the time."""
    program = (
        f"import sys; sys.path.insert(0, {str(node.home / 'kit.zip')!r})\n"
        f"from flow_core.node.kit.failing import Failing; Failing().look({SETUP!r}, 0.0)"
    )
    line = [node.env["FLOW_PYTHON"], "-c", program]
    subprocess.run(line, env=node.env, check=True, timeout=PATIENCE_S)


def ended(node: BareNode) -> RunReport:
    """What the node reports once its command has ended."""
    wait_for_word(node.home / "state.json", '"exited"')
    return node.report()


def test_a_fellow_s_word_ends_the_command(node: BareNode):
    """TERM comes first, then KILL for what stays; the reason names who failed, and nobody is told in turn."""
    begin(node, "trap 'echo told' TERM; echo ready; while :; do sleep 0.1; done")
    wait_for_word(node.home / "log", "ready")
    hear(node, 1.0)
    report = ended(node)

    assert "told" in node.log().data.decode()
    assert (137, "ended because node 2 ended with 3") == (report.exit_code, report.reason)
    assert report.ended_for_fellow
    assert not failing.has_failed(json.loads((node.home / "state.json").read_text()))
    assert not (node.home / "called").exists()


def test_a_word_counts_for_its_own_attempt(node: BareNode):
    """A late word of an attempt before ends nothing; one of an attempt yet to begin ends it when it does."""
    begin(node, "echo attempt $FLOW_RESTART_COUNT; exec sleep 600")
    wait_for_word(node.home / "log", "attempt 0")
    deliver(node, 2)
    wait_for_word(node.home / "log", "attempt 1")
    for word in (1.0, 3.0, 1.0):
        hear(node, word)
        look(node)
        assert "" == json.loads((node.home / "failure.json").read_text())
    assert (RunPhase.RUNNING, 2) == (node.report().phase, node.report().membership)
    deliver(node, 3)
    report = ended(node)

    assert (3, True) == (report.membership, report.ended_for_fellow)
    assert "attempt 2" in node.log().data.decode()


def test_fellows_are_told_until_they_know(node: BareNode):
    """All are called with rank, membership and code; one that doesn't answer is called again."""
    begin(node, "exit 7")
    ended(node)
    line = f"FLOW_HOME={node.home} exec python3 {node.home}/kit.zip fallen 1 1.0 7"
    first, second = f"127.1.0.3 {line}\n", f"127.1.0.1 {line}\n"
    wait_for_bytes(node.home / "called", 3 * len(first) - 1)

    called = (node.home / "called").read_text()
    assert {first, second} == set(called.splitlines(keepends=True))
    assert 3 == called.count("fallen")


def test_a_set_up_that_fails_is_told_though_tries_are_left(node: BareNode):
    """No other try mends it, so the fellows need not wait for a client to say so."""
    begin(node, "echo never", retries=3, working_dir="nowhere")
    ended(node)
    wait_for_word(node.home / "called", "fallen 1 1.0 125")

    assert (125, 0) == (node.report().exit_code, node.report().retried)


def test_both_sides_know_the_words():
    """What the kit writes is what the domain looks for."""
    assert ENDED_FOR == failing.ENDED_FOR
    assert flow_node.USERS_MISTAKES == failing.USERS_MISTAKES
