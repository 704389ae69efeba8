"""The guard on a task's first node, over a cloud in memory with keys of its account."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from attrs import evolve

import flow
from flow_adapters.clocks import ManualClock
from flow_core.domain.money import Spend
from flow_core.domain.record import Outcome
from flow_core.domain.task_parts import Guard
from flow_core.errors import InvalidRequest, Transient
from flow_core.ports.account_keys import NewAccountKey, Withdrawal
from flow_core.ports.shell import Call
from flow_core.services.guarding import TAKE
from flow_core.services.session import Session
from flow_providers.mock import PretendCloud


class Keyring:
    """Implements `AccountKeys`: keys that are remembered with their ends."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.live: dict[str, tuple[str, datetime]] = {}
        self.made = 0
        self.is_silent = False

    def named(self, name: str) -> Sequence[str]:
        """See the port."""
        if self.is_silent:
            raise Transient("no answer")
        return [key for key, (theirs, _) in self.live.items() if theirs == name]

    def make(self, name: str, *, expires_at: datetime) -> NewAccountKey:
        """See the port."""
        self.made += 1
        self.live[f"key{self.made}"] = (name, expires_at)
        return NewAccountKey(
            id=f"key{self.made}", secret=f"s3cret{self.made}", expires_at=expires_at
        )

    def revoke(self, key_id: str) -> None:
        """See the port."""
        self.live.pop(key_id, None)

    def withdrawal(self, bid_id: str, secret: str) -> Withdrawal:
        """See the port."""
        return Withdrawal(method="DELETE", url=f"https://x/{bid_id}", headers={"key": secret})


@pytest.fixture
def keyring(pretend_cloud: PretendCloud) -> Keyring:
    """A cloud that has keys of its account."""
    found = Keyring(pretend_cloud.clock)
    pretend_cloud.provider = evolve(pretend_cloud.provider, account_keys=found)
    return found


@pytest.fixture
def told(pretend_cloud: PretendCloud) -> list[tuple[int, dict[str, object]]]:
    """What nodes were told of leases: rank and words."""
    said: list[tuple[int, dict[str, object]]] = []

    def take(call: Call) -> tuple[int, bytes]:
        said.append((call.node.rank, json.loads(b"".join(call.pieces()))))
        return 0, b""

    pretend_cloud.on_shell(TAKE, take)
    return said


@pytest.fixture
def guarded(keyring: Keyring, told: object, session: Session) -> Session:
    """A session whose cloud can guard."""
    return session


def test_a_guard_knows_the_lease_and_loses_its_key(
    pretend_cloud: PretendCloud,
    keyring: Keyring,
    told: list[tuple[int, dict[str, object]]],
    guarded: Session,
    clock: ManualClock,
):
    """Only node 0 is told, with a key that outlives the lease by an hour; in the end no key is left."""
    pretend_cloud.on("train", takes="24h")
    limits = {"guard": "node", "max_run_time": "4h", "num_instances": 2}
    task = flow.run("train", session=guarded, **limits)
    clock.advance(minutes=10)
    began = guarded.tasks.record(task.name).began_at
    ((name, expires),) = keyring.live.values()
    task.wait()
    record = guarded.tasks.record(task.name)

    assert began is not None
    assert f"flow-guard-{record.token}" == name
    assert timedelta(hours=5) <= expires - began <= timedelta(hours=5, minutes=1)
    assert {0} == {rank for rank, _ in told}
    assert {
        "headers": {"key": "s3cret1"},
        "method": "DELETE",
        "url": f"https://x/{record.bid_id}",
    } == (told[0][1]["request"])
    assert 3.9 * 3600 < float(str(told[0][1]["left_s"])) <= 4 * 3600
    assert Outcome.TIMED_OUT is record.outcome
    assert {} == keyring.live


def test_the_guard_follows_a_lease_that_moves(
    pretend_cloud: PretendCloud,
    keyring: Keyring,
    told: list[tuple[int, dict[str, object]]],
    guarded: Session,
    clock: ManualClock,
):
    """While the price is under the limit the money lasts longer; the node hears of it, with new keys in time."""
    pretend_cloud.on("train", takes="3h")
    task = flow.run("train", session=guarded, guard="node", max_spend=1_000, max_price_per_hour=200)
    clock.advance(hours=1)
    pretend_cloud.raise_price("10.00")
    task.wait()

    assert len(told) > 1
    assert all("request" not in words for _, words in told[1:] if keyring.made == 1)
    assert {} == keyring.live
    assert "s3cret" not in repr(guarded.tasks.history(task.name)) + repr(task)


def test_a_key_that_could_not_be_revoked_is_revoked_later(
    pretend_cloud: PretendCloud, keyring: Keyring, guarded: Session, clock: ManualClock
):
    """A task isn't over as long as a key of its may be left."""
    pretend_cloud.on("train", takes="1h")
    task = flow.run("train", session=guarded, guard="node", max_run_time="4h")
    clock.advance(minutes=10)
    keyring.is_silent = True
    clock.advance(hours=2)
    record = guarded.tasks.record(task.name)
    assert (Outcome.SUCCEEDED, False) == (record.outcome, record.released)
    keyring.is_silent = False
    task.wait()

    assert guarded.tasks.record(task.name).released
    assert {} == keyring.live


def test_the_plan_says_who_holds_the_account(guarded: Session):
    """Before anything is bid."""
    spec = flow.TaskSpec(command="true", guard=Guard.NODE, max_spend=Spend.parse("20"))
    lease, note = guarded.tasks.plan(spec).notes

    assert "the ceiling of $20.00 holds also while this machine sleeps" in lease
    assert "whoever is root on that node then holds the whole account" in note


def test_a_guard_without_a_limit_is_refused(guarded: Session):
    """There is nothing to guard."""
    with pytest.raises(InvalidRequest, match="has nothing to enforce"):
        guarded.tasks.plan(flow.TaskSpec(command="true", guard=Guard.NODE))


def test_a_guard_without_keys_is_refused(session: Session):
    """There is nothing to guard with."""
    with pytest.raises(InvalidRequest, match="has no keys that a node could end its own bid with"):
        session.tasks.plan(flow.TaskSpec(command="true", guard=Guard.NODE))


def test_a_ceiling_says_when_it_holds(session: Session):
    """With the watcher alone, the plan tells the worst hour while this machine sleeps: limit × nodes."""
    spec = flow.TaskSpec(command="true", max_spend=Spend.parse("20"), num_instances=4)
    plan = session.tasks.plan(spec)
    words = "the ceiling of $20.00 holds while this machine is awake"

    assert f"{words}; while it sleeps the nodes cost up to {plan.limit * 4}/hr" in plan.notes
