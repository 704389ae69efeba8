"""`flow mock`: the same faults from a shell, in words and as JSON."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from flow_core.domain import names
from flow_core.domain.allocation import NodeState
from flow_core.domain.bid import BidState
from flow_core.errors import Conflict, InvalidRequest, NotFound, Transient
from flow_providers.mock.commands import mock
from flow_providers.mock.pretend import PretendCloud
from tests.mock.bidders import bid, cloud, price, state


def wire_name(name: str) -> str:
    """Return what a bid for this task is called: its name, and a token."""
    return names.wire_name(name, names.new_token(random.Random(3)))


class Call:
    """One `flow mock …` on a pretend cloud in memory."""

    def __init__(self, pretend: PretendCloud) -> None:
        self.provider: str | None = None
        self.json = False
        self._pretend = pretend

    def session(self, **_: object) -> Any:
        """Return what the group needs of a session."""
        return SimpleNamespace(provider=self._pretend.provider)

    def run(self, *words: str) -> Result:
        """Run the group; a refusal is raised as it is."""
        return CliRunner().invoke(
            mock, list(words), obj=self, catch_exceptions=False, standalone_mode=False
        )


def test_task_is_outbid_by_its_name():
    """A task's name finds its bid, whose name on the wire ends with a token."""
    pretend = cloud()
    placed = bid(pretend, wire_name("resnet"), "5")
    pretend.clock.advance(minutes=3)
    call = Call(pretend)
    said = call.run("outbid", "resnet", "--for", "10m")

    assert "resnet is outbid: somebody pays $5.01/hr for its market\n" == said.output
    assert BidState.PREEMPTING is state(pretend, placed)
    assert "mock" == call.provider


def test_price_is_raised_and_let_back():
    """A price can be set for some markets, and all let back to their own."""
    pretend = cloud()
    call = Call(pretend)
    call.run("raise-price", "$25", "-i", "8xh100")
    raised = price(pretend)
    call.run("raise-price", "--back")
    pretend.clock.advance(minutes=2)

    assert ("$25.00", "$1.00") == (raised, price(pretend))
    with pytest.raises(click.UsageError):
        call.run("raise-price")
    with pytest.raises(InvalidRequest, match="price"):
        call.run("raise-price", "much")


def test_every_command_has_a_json_form_with_a_version():
    """Each answers --json with one document that carries version 1; so it does when the whole call asks for JSON."""
    pretend = cloud()
    bid(pretend, wire_name("resnet"), "5", quantity=2)
    pretend.clock.advance(minutes=3)
    calls = (
        ("outbid", "resnet"), ("raise-price", "3"), ("fail-next", "place"), ("kill-node", "resnet", "--node", "1"),
        ("lag", "5"), ("refuse-quota",), ("status",), ("ledger",), ("reset", "--yes"),
    )  # fmt: skip
    documents = [json.loads(Call(pretend).run(*words, "--json").output) for words in calls]
    whole = Call(pretend)
    whole.json = True

    assert {1} == {document["version"] for document in documents}
    assert set(mock.commands) == {*(words[0] for words in calls), "serve"}
    assert 1 == json.loads(whole.run("status").output)["version"]


def test_one_node_of_four_is_lost_by_its_rank():
    """`kill-node --node 2` cuts that node's power and no other's; a rank that isn't there is refused."""
    pretend = cloud()
    placed = bid(pretend, wire_name("resnet"), "5", quantity=4)
    pretend.clock.advance(minutes=3)
    call = Call(pretend)
    said = call.run("kill-node", "resnet", "--node", "2")
    nodes = pretend.provider.fleet.allocations([placed.id])[placed.id].nodes

    assert "node 2 of resnet is lost\n" == said.output
    assert [2] == [node.rank for node in nodes if node.state is NodeState.LOST]
    assert 3 == sum(node.state is NodeState.RUNNING for node in nodes)
    with pytest.raises(NotFound, match="4"):
        call.run("kill-node", "resnet", "--node", "4")


def test_next_call_fails_as_told():
    """`fail-next` names a method of a role; what it doesn't know it refuses."""
    pretend = cloud()
    call = Call(pretend)
    said = call.run("fail-next", "bids", "--after", "--times", "2")

    assert "the next 'bids' fails after it takes effect, 2 times\n" == said.output
    with pytest.raises(Transient):
        pretend.provider.market.bids()
    with pytest.raises(InvalidRequest, match="plaice"):
        call.run("fail-next", "plaice")


def test_ledger_lists_every_task_and_the_sum():
    """Two hours at a dollar, of a task that has ended, and the sum."""
    pretend = cloud()
    placed = bid(pretend, wire_name("resnet"), "5")
    pretend.clock.advance(minutes=2, seconds=20)
    pretend.clock.advance(hours=2)
    pretend.provider.market.withdraw(placed.id)
    lines = Call(pretend).run("ledger").output.splitlines()

    assert ["       $2.00  resnet (ended)", "       $2.00  in all, simulated"] == lines


def test_reset_refuses_while_something_is_live():
    """A world with live bids is only dropped on --yes, and then nothing of it is left."""
    pretend = cloud()
    bid(pretend, wire_name("resnet"), "5")
    call = Call(pretend)

    with pytest.raises(Conflict, match="resnet"):
        call.run("reset")
    assert (
        "a new pretend cloud begins; 1 bids ended with the old one\n"
        == call.run("reset", "--yes").output
    )
    assert [] == pretend.provider.market.bids()
    with pytest.raises(NotFound):
        call.run("outbid", "resnet")


def test_status_says_that_the_world_stands_still():
    """Where nothing is live, `status` says so instead of a rate."""
    assert "standing still" in Call(cloud()).run("status").output


def test_group_imports_nothing_but_click():
    """Loading the group for `flow --help` imports neither the engine nor attrs nor sqlite3."""
    code = "import sys, flow_providers.mock.commands; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()

    assert not {"attrs", "attr", "sqlite3", "flow_core", "flow_providers.mock.engine"} & set(loaded)
