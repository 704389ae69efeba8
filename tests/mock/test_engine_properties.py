"""Whatever bidders and faults do to the pretend cloud, its promises hold; in memory and in a file alike."""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from flow_core.domain.allocation import NODE_TRANSITIONS, NodeState
from flow_core.domain.bid import BidState, may_follow
from flow_core.domain.budget import spent
from flow_core.domain.money import Price
from flow_core.errors import FlowError
from flow_providers.mock.pretend import PretendCloud
from flow_providers.mock.rules import IN_MEMORY, Mood
from flow_providers.mock.sqlite_store import SqliteStore
from tests.mock.bidders import REGION, bid, cloud, market, rival

CAPACITY = 6
SEEN_TOGETHER = 25
CENTS = st.integers(100, 1200).map(lambda cents: f"{cents / 100:.2f}")


def reachable(seen: NodeState, now: NodeState) -> bool:
    """Whether a node may be seen as `now` after it was seen as `seen`."""
    reached, pending = {seen}, [seen]
    while pending:
        for state in NODE_TRANSITIONS[pending.pop()] - reached:
            reached.add(state)
            pending.append(state)
    return now in reached


class Market(RuleBasedStateMachine):
    """Two worlds that hear the same calls at the same times: one in memory, one in a file."""

    @initialize(mood=st.sampled_from(Mood), instant=st.booleans())
    def begin(self, mood: Mood, instant: bool) -> None:
        """Open both worlds."""
        self.folder = tempfile.TemporaryDirectory()
        store = SqliteStore(Path(self.folder.name) / "world.sqlite")
        markets = (market(capacity=CAPACITY, price="3.00"), market(capacity=4, region="us-east1-a"))
        changed = {"mood": mood, "instant": instant}
        self.worlds = [
            cloud(*markets, rules=IN_MEMORY, **changed),
            cloud(*markets, store=store, **changed),
        ]
        self.count = 0
        self.mine: list[str] = []
        self.rivals: list[str] = []
        self.states: dict[str, BidState] = {}
        self.nodes: dict[str, dict[int, tuple[str, NodeState]]] = {}

    @property
    def memory(self) -> PretendCloud:
        """The world in memory."""
        return self.worlds[0]

    def both(self, act: object) -> object:
        """Do the same in both worlds; they answer, or refuse, alike."""
        answers = []
        for world in self.worlds:
            try:
                answers.append(act(world))  # type: ignore[operator]
            except FlowError as refusal:
                answers.append((type(refusal), refusal.message))

        assert answers[0] == answers[1]
        return answers[0]

    @rule(
        limit=CENTS,
        quantity=st.integers(1, 4),
        region=st.sampled_from([REGION, "us-east1-a"]),
        theirs=st.booleans(),
    )
    def place(self, limit: str, quantity: int, region: str, theirs: bool) -> None:
        """Somebody bids."""
        self.count += 1
        name = f"t{self.count}"
        if theirs:
            self.rivals.append(
                self.both(lambda world: rival(world, name, limit, quantity=quantity))
            )  # type: ignore[arg-type]
            return
        placed = self.both(
            lambda world: bid(
                world, name, limit, quantity=quantity, region=region, command="sleep 7200"
            )
        )
        self.mine.append(placed.id)  # type: ignore[attr-defined]

    @precondition(lambda self: self.mine)
    @rule(data=st.data(), limit=st.none() | CENTS, paused=st.sampled_from([None, True, False]))
    def amend(self, data: st.DataObject, limit: str | None, paused: bool | None) -> None:
        """A bid changes its limit, pauses or goes on."""
        chosen = data.draw(st.sampled_from(self.mine))
        price = Price.parse(limit) if limit is not None else None
        self.both(lambda world: world.provider.market.amend(chosen, limit=price, paused=paused))

    @precondition(lambda self: self.mine or self.rivals)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        """A bid ends."""
        chosen = data.draw(st.sampled_from(self.mine + self.rivals))
        self.both(lambda world: world.provider.market.withdraw(chosen))

    @rule(seconds=st.sampled_from([1, 20, 60, 119, 120, 121, 300, 301, 3600, 40_000]))
    def advance(self, seconds: int) -> None:
        """Time passes, in one world in a single step, in the other in two."""
        self.worlds[0].clock.advance(seconds=seconds)
        self.worlds[1].clock.advance(seconds=seconds / 2)
        self.worlds[1].clock.advance(seconds=seconds / 2)

    @precondition(lambda self: self.mine)
    @rule(data=st.data(), minutes=st.none() | st.integers(1, 30))
    def outbid(self, data: st.DataObject, minutes: int | None) -> None:
        """A rival outbids one bid."""
        chosen = data.draw(st.sampled_from(self.mine))
        lasts = timedelta(minutes=minutes) if minutes is not None else None
        self.both(lambda world: world.outbid(chosen, lasts=lasts))

    @rule(price=CENTS, minutes=st.none() | st.integers(1, 30))
    def raise_price(self, price: str, minutes: int | None) -> None:
        """The crowd pays something else."""
        lasts = timedelta(minutes=minutes) if minutes is not None else None
        self.both(lambda world: world.raise_price(price, lasts=lasts))

    @rule()
    def free_price(self) -> None:
        """The crowd goes back to its own price."""
        self.both(lambda world: world.free_price())

    @precondition(lambda self: self.mine)
    @rule(data=st.data(), rank=st.integers(0, 3), minutes=st.none() | st.integers(1, 10))
    def lose_node(self, data: st.DataObject, rank: int, minutes: int | None) -> None:
        """A node's power is cut."""
        chosen = data.draw(st.sampled_from(self.mine))
        back = timedelta(minutes=minutes) if minutes is not None else None
        self.both(lambda world: world.lose_node(chosen, rank, back_after=back))

    @rule(method=st.sampled_from(["place", "amend", "withdraw", "bids"]), after=st.booleans())
    def fail_next(self, method: str, after: bool) -> None:
        """One call goes unanswered, and is made up for."""
        self.both(lambda world: world.fail_next(method, after=after))
        self.both(lambda world: world.provider.market.bids())
        for each in ("place", "amend", "withdraw"):
            self.both(lambda world, each=each: world.engine.change(each, lambda _, __: None))

    @invariant()
    def worlds_agree(self) -> None:
        """Both worlds show the same, whether kept in memory or in a file."""
        if not hasattr(self, "worlds"):
            return
        self.both(lambda world: world.provider.market.quotes())
        self.both(lambda world: world.provider.market.bids())
        self.both(lambda world: world.provider.fleet.allocations(self.mine + self.rivals))
        self.both(lambda world: world.provider.logs.reports(self.mine))
        self.both(lambda world: world.ledger())
        self.both(lambda world: world.engine.next_event_at())

    @invariant()
    def capacity_is_never_given_twice(self) -> None:
        """What bids hold, notices included, is at most what there is."""
        if not hasattr(self, "worlds"):
            return
        held: dict[str, int] = {}
        for row in self.memory.engine.look(None, lambda world, _: world.bids.live()):
            if row.is_holding:
                held[row.market] = held.get(row.market, 0) + row.quantity
        capacity = {
            row.id: row.capacity
            for row in self.memory.engine.look(None, lambda world, _: world.markets.live())
        }

        assert all(count <= capacity[each] for each, count in held.items())

    @invariant()
    def states_follow_the_tables(self) -> None:
        """Bids and nodes are only ever seen in states reachable from the last; ids keep their ranks."""
        if not hasattr(self, "worlds"):
            return
        for each in self.memory.provider.market.bids():
            assert may_follow(self.states.get(each.id, BidState.OPEN), each.state)
            self.states[each.id] = each.state
        for bid_id, allocation in self.memory.provider.fleet.allocations(self.mine).items():
            known = self.nodes.setdefault(bid_id, {})
            assert list(range(len(allocation.nodes))) == [node.rank for node in allocation.nodes]
            for node in allocation.nodes:
                node_id, before = known.get(node.rank, (node.id, NodeState.STARTING))
                assert node_id == node.id
                assert reachable(before, node.state)
                known[node.rank] = (node.id, node.state)

    @invariant()
    def notices_are_there_exactly_while_they_stand(self) -> None:
        """A bid is preempting if and only if its allocation shows a notice, whose deadline is to come."""
        if not hasattr(self, "worlds"):
            return
        for each in self.memory.provider.market.bids(live=True):
            notice = self.memory.provider.fleet.allocations([each.id])[each.id].notice

            assert (each.state is BidState.PREEMPTING) is (notice is not None)
            assert notice is None or notice.deadline > self.memory.clock.now()

    @invariant()
    def money_is_held_time_times_price(self) -> None:
        """Stretches are in order, don't overlap, never cost more than what was bid, and add up to the ledger."""
        if not hasattr(self, "worlds"):
            return
        now = self.memory.clock.now()
        lines = {line.bid_id: line for line in self.memory.ledger().lines}
        for each in self.memory.provider.market.bids():
            stretches = self.memory.provider.usage.usage([each.id])[each.id]
            ends = [stretch.until for stretch in stretches]
            assert all(
                end is not None and end <= after.since
                for end, after in zip(ends, stretches[1:], strict=False)
            )
            assert all(1 <= stretch.nodes <= each.quantity for stretch in stretches)
            assert spent(stretches, now) == lines[each.id].spent
            running = sum(
                node.state in (NodeState.RUNNING, NodeState.LEAVING)
                for node in self.memory.provider.fleet.allocations([each.id])[each.id].nodes
            )
            paid = stretches[-1].nodes if stretches and stretches[-1].until is None else 0
            assert paid <= running

    @invariant()
    def winners_pay_at_most_their_limit(self) -> None:
        """Right after a round nobody who keeps its nodes pays more than it bid."""
        if not hasattr(self, "worlds"):
            return
        for each in self.memory.provider.market.bids(live=True):
            stretches = self.memory.provider.usage.usage([each.id])[each.id]
            if (
                each.state is BidState.ALLOCATED
                and stretches
                and stretches[-1].since == self.memory.clock.now()
            ):
                assert stretches[-1].price <= each.limit

    def teardown(self) -> None:
        """Let the file go."""
        if hasattr(self, "folder"):
            self.folder.cleanup()


TestMarket = Market.TestCase
TestMarket.settings = settings(
    max_examples=settings().max_examples // 2,
    stateful_step_count=SEEN_TOGETHER,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
