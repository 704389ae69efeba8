"""Adapter and simulator driven together against a small model: one bid a token, legal states, a bill that adds up.

Whatever happens here happens at a multiple of `STEP_S`: a round comes every two minutes, a notice takes five, a boot
twenty seconds. So a look at each step sees all time as it was, and the model's bill is the sum of what it saw:
running nodes x the published price, or the bid's own limit where that is less, as for what was outbid and is under
notice (contract, sections 3 and 5; that a notice is charged is the simulator's default). A new limit counts from the
market's next round, or from when the number of running nodes changes.

The adapter has a clock of its own, so that its waits between retries move no time of the world's.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from fractions import Fraction

import httpx
import pytest
from attrs import define, field
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from flow_adapters.clocks import ManualClock
from flow_core.domain.allocation import NodeState
from flow_core.domain.bid import BID_TRANSITIONS, Bid, BidRequest, BidState, Launch
from flow_core.domain.budget import spent
from flow_core.domain.money import Price
from flow_core.domain.shape import parse_shape
from flow_core.errors import Conflict, Transient
from flow_core.ports.provider import Provider
from flow_providers.mock.estate import people
from flow_providers.mock.http import troubles
from flow_providers.mock.http.billing import bill
from flow_providers.mock.http.service import in_memory
from flow_providers.mock.http.transport import DoorTransport
from flow_providers.mock.memory_nodes import MemoryNodes
from tests.meeting.site import BIDS, PUBLIC_KEY, URL, connect, told_shell, trouble, whereabouts
from tests.sim.clients import REGION, market

STEP_S, TICK_S = 20, 120
#: Later than any request here takes effect, and than any listing here lags.
LATE_S = 40
CAPACITY = 4
#: A token's limit in cents and quantity are its own: a request is repeated word for word or not at all.
TOKENS = {
    "2a2a2a2a": (200, 1),
    "3b3b3b3b": (300, 2),
    "4c4c4c4c": (450, 1),
    "5d5d5d5d": (700, 3),
}
LIMITS = st.integers(100, 900).map(Price.from_cents)
PAID = (BidState.ALLOCATED, BidState.PREEMPTING)
_RUNS = (NodeState.RUNNING, NodeState.LEAVING)


@define
class Held:
    """What the model knows of one bid: its state when last seen, the limit that counts, its cost in micro-dollars."""

    state: BidState
    limit: Price
    counts: Price
    nodes: int = 0
    cost: Fraction = field(default=Fraction(0))


class Meeting(RuleBasedStateMachine):
    """A user behind the adapter, rivals behind plain HTTP, and a service that has its troubles."""

    @initialize()
    def begin(self) -> None:
        """A market at its floor, and nobody in it."""
        self.clock, self.desk = ManualClock(), ManualClock()
        self.nodes = MemoryNodes(self.clock)
        self.service = in_memory(
            self.clock, markets=(market(CAPACITY),), host=self.nodes, whereabouts=whereabouts
        )
        self.door = DoorTransport(self.service.handle)
        self.clock.advance(seconds=TICK_S - self.clock.now().timestamp() % TICK_S)
        self.rival_project, secret = self.service.engine.change(None, _rival)
        self.theirs = httpx.Client(
            transport=self.door, base_url=URL, headers={"authorization": f"Bearer {secret}"}
        )
        key = {"project": self.rival_project, "name": "theirs", "public_key": PUBLIC_KEY}
        self.rival_key = self.theirs.post("/v2/ssh-keys", json=key).json()["fid"]
        self.rivals: list[str] = []
        self.provider = self.process()
        self.quote = self.provider.market.quotes(parse_shape("8xh100"))[0]
        self.bids: dict[str, Held] = {}

    # ------------------------------------------------------------ the user

    @rule(token=st.sampled_from(sorted(TOKENS)))
    def place(self, token: str) -> None:
        """A request is placed, for the first time or again; an answer is about the one live bid of its token."""
        before = self.live(token)
        try:
            bid = self.provider.market.place(self.request(token))
        except Transient:
            return

        assert [bid.id] == self.live(token)
        assert bid.is_live
        assert before in ([], [bid.id])

    @precondition(lambda self: self.bids)
    @rule(data=st.data(), limit=LIMITS)
    def amend(self, data: st.DataObject, limit: Price) -> None:
        """A live bid has its new limit; an ended one is a conflict."""
        self.change(data, lambda bid_id: self.provider.market.amend(bid_id, limit=limit))

    @precondition(lambda self: self.bids)
    @rule(data=st.data(), paused=st.booleans())
    def pause_or_resume(self, data: st.DataObject, paused: bool) -> None:
        """A paused bid holds nothing; one that goes on competes again."""
        self.change(data, lambda bid_id: self.provider.market.amend(bid_id, paused=paused))

    @precondition(lambda self: self.bids)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        """A withdrawn bid is over, whatever it was. Some seconds pass: by its age alone is an old answer told apart."""
        bid_id = data.draw(st.sampled_from(sorted(self.bids)))
        with suppress(Transient):
            self.provider.market.withdraw(bid_id)

            assert BidState.TERMINATED is self.seen(bid_id).state
        self.look()
        self.advance(1)

    @rule()
    def start_anew(self) -> None:
        """The next command is another process."""
        self.provider = self.process()

    # ------------------------------------------------------------ the world

    @precondition(lambda self: self.is_calm())
    @rule(limit=LIMITS, quantity=st.integers(1, CAPACITY))
    def rival(self, limit: Price, quantity: int) -> None:
        """Somebody else bids, and the price may rise."""
        body = {
            "project": self.rival_project,
            "region": REGION,
            "instance_type": self.quote.type_id,
            "limit_price": str(limit),
            "instance_quantity": quantity,
            "name": f"rival-{len(self.rivals)}",
            "launch_specification": {"volumes": [], "ssh_keys": [self.rival_key]},
        }
        answer = self.theirs.post(BIDS, json=body)
        if answer.status_code == 201:
            self.rivals.append(answer.json()["fid"])

    @precondition(lambda self: self.rivals and self.is_calm())
    @rule(data=st.data())
    def rival_leaves(self, data: st.DataObject) -> None:
        """One of them goes."""
        self.theirs.delete(f"{BIDS}/{self.rivals.pop(data.draw(st.sampled_from([0, -1])))}")

    @rule(steps=st.sampled_from([1, 3, 6, 15]))
    def advance(self, steps: int) -> None:
        """Time passes, step by step."""
        for _ in range(steps):
            for held in self.bids.values():
                charged = min(self.price(), held.counts) if held.state in PAID else Price.ZERO
                held.cost += Fraction(charged.micros * held.nodes * STEP_S, 3600)
            self.clock.advance(seconds=STEP_S)
            self.desk.advance(seconds=STEP_S)
            self.look(is_round=self.clock.now().timestamp() % TICK_S == 0)

    @rule(
        kind=st.sampled_from([troubles.ERROR, troubles.DROP]),
        when=st.sampled_from([troubles.BEFORE, troubles.AFTER]),
        method=st.sampled_from(["POST", "PATCH", "DELETE"]),
    )
    def go_wrong(self, kind: str, when: str, method: str) -> None:
        """The next such request about a bid gets no good answer, before or after it took effect."""
        path = BIDS if method == "POST" else f"{BIDS}/{{bid_fid}}"
        trouble(self.service, kind=kind, when=when, method=method, path=path)

    @rule()
    def be_late(self) -> None:
        """The next create takes effect only when nobody listens any more."""
        trouble(self.service, kind=troubles.LATE, seconds=LATE_S, method="POST", path=BIDS)

    @rule(seconds=st.sampled_from([0, LATE_S]))
    def lag(self, seconds: int) -> None:
        """Listings show new bids only some time after they were made."""
        self.service.control.lag_listing(seconds)

    # ------------------------------------------------------------ what holds

    @invariant()
    def no_token_has_two_bids(self) -> None:
        """By the service's own count, each token has one live bid or none."""
        assert all(len(self.live(token)) <= 1 for token in TOKENS)

    @invariant()
    def states_go_along_the_table(self) -> None:
        """Each bid is where the table lets it be since it was last seen."""
        self.look()

    @invariant()
    def the_bill_is_time_held_times_price(self) -> None:
        """The service's ledger and the adapter's usage are the model's sum; each stretch is rounded to a micro."""
        ledger = {line.bid_id: line for line in self.service.control.ledger().lines}
        now = self.clock.now()
        cents = self.service.engine.look(
            None,
            lambda world, at: {e.id: e.cents for e in bill(world, at, self.service.project).lines},
        )
        usage = self.provider.usage.usage(list(self.bids))
        for bid_id, held in self.bids.items():
            line = ledger[bid_id]

            assert abs(line.spent.micros - held.cost) <= Fraction(len(line.stretches), 2), bid_id
            assert (line.spent.micros + 5_000) // 10_000 == cents[bid_id]
            assert abs(spent(usage[bid_id], now).micros - held.cost) <= len(line.stretches), bid_id

    def teardown(self) -> None:
        """With its troubles over, a request placed once more finds or makes the one bid of its token."""
        self.service.control.lag_listing(0)
        self.service.engine.change(None, _calm)
        self.advance(3 * LATE_S // STEP_S)
        for token in TOKENS:
            bid = self.provider.market.place(self.request(token))

            assert [bid.id] == self.live(token)

    # ------------------------------------------------------------ how it is seen

    def process(self) -> Provider:
        """What a new process holds."""
        return connect(
            self.service, clock=self.desk, shell=told_shell(self.nodes), transport=self.door
        )

    def request(self, token: str) -> BidRequest:
        """The one request of a token."""
        cents, quantity = TOKENS[token]
        return BidRequest(
            name=f"task-{token}",
            type_id=self.quote.type_id,
            shape=self.quote.shape,
            region=self.quote.region,
            quantity=quantity,
            limit=Price.from_cents(cents),
            launch=Launch(script="#!/bin/bash\nsleep infinity\n"),
        )

    def live(self, token: str) -> list[str]:
        """The live bids of a token, as the service has them, shown or not."""
        return self.service.engine.look(
            None,
            lambda world, _: [row.id for row in world.bids.live() if row.name == f"task-{token}"],
        )

    def is_calm(self) -> bool:
        """Whether no trouble waits, for rivals would run into it too."""
        return self.service.engine.look(None, lambda world, _: not world.troubles.live())

    def price(self) -> Price:
        """The price that the market publishes."""
        [row] = self.theirs.get("/v2/spot/availability").json()
        return Price.parse(row["last_instance_price"])

    def change(self, data: st.DataObject, act: Callable[[str], Bid]) -> None:
        """Change one bid; a request that may be repeated is, so that an answer is what is so."""
        bid_id = data.draw(st.sampled_from(sorted(self.bids)))
        try:
            told = act(bid_id)
        except Conflict:
            assert BidState.TERMINATED is self.seen(bid_id).state
        except Transient:
            pass
        else:
            assert (told.limit, told.state) == (self.seen(bid_id).limit, self.seen(bid_id).state)

    def seen(self, bid_id: str) -> Bid:
        """A bid as the adapter shows it."""
        return self.provider.market.bid(bid_id)

    def look(self, *, is_round: bool = False) -> None:
        """See every bid of ours, new ones too; fail where the table doesn't lead."""
        self.theirs.get("/v2/me")  # lets what is late and due take effect
        ours = self.service.engine.look(
            None,
            lambda world, _: [
                row.id for row in world.bids.all() if row.project == self.service.project
            ],
        )
        allocations = self.provider.fleet.allocations(ours)
        for bid in map(self.seen, ours):
            nodes = sum(node.state in _RUNS for node in allocations[bid.id].nodes)
            held = self.bids.setdefault(bid.id, Held(bid.state, bid.limit, bid.limit))

            assert bid.state in {held.state, *BID_TRANSITIONS[held.state]}
            if is_round or nodes != held.nodes:
                held.counts = bid.limit
            held.state, held.limit, held.nodes = bid.state, bid.limit, nodes


def _rival(world: object, now: object) -> tuple[str, str]:
    project = people.add_project(world, "theirs", now=now)
    person = people.add_person(world, "rival", project_ids=(project.id,))
    _, secret = people.add_key(
        world, person.id, "first", now=now, expires_at=now + timedelta(days=30)
    )
    return project.id, secret


def _calm(world: object, _: object) -> None:
    for row in world.troubles.live():
        world.troubles.drop(row.id)


TestMeeting = pytest.mark.slow(Meeting.TestCase)
TestMeeting.settings = settings(max_examples=20, stateful_step_count=25, deadline=None)


def test_the_machine_sees_a_bid_outbid_and_pay_its_limit_under_notice():
    """The model is not idle: a bid is granted, outbid, charged its limit for the notice, and open again."""
    meeting = Meeting()
    meeting.begin()
    meeting.place("3b3b3b3b")
    meeting.look()
    [held] = meeting.bids.values()
    seen = []
    for _ in range(3):
        meeting.advance(6)
        seen.append((held.state, held.cost))
        meeting.the_bill_is_time_held_times_price()
        if len(seen) == 1:
            meeting.rival(Price.from_cents(900), CAPACITY)
    meeting.advance(12)
    meeting.the_bill_is_time_held_times_price()

    assert [BidState.ALLOCATED, BidState.PREEMPTING, BidState.PREEMPTING] == [at for at, _ in seen]
    assert BidState.OPEN is held.state
    # Two nodes: up to the notice 120 s, less 20 s of boot, at the floor of $1; then 300 s at their limit of $3.
    assert 2 * Fraction(100 * 1_000_000 + 300 * 3_000_000, 3600) == held.cost
