"""Whatever the market, the nodes and the provider do to tasks: each ends once, never bids twice, pays what it used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import flow
from flow_adapters.wiring import connect_in_memory
from flow_core.domain.money import Spend
from flow_core.domain.names import split_wire_name
from flow_core.domain.record import Outcome
from flow_core.errors import FlowError
from flow_core.services.watcher import Watcher
from flow_providers.mock.pretend import PretendCloud
from flow_providers.mock.told import PretendRun

MOST = 3
RECOVERIES = ("wait", "move:20m", "raise:20m")
MINUTES = st.integers(1, 90)
#: Long enough for whatever may still come: a rival's stay, every rest, an outage, a run of each task.
END = timedelta(days=3)


class Healing(RuleBasedStateMachine):
    """A few tasks over a cloud in memory, and all that may go wrong with them."""

    def __init__(self) -> None:
        super().__init__()
        self.cloud = PretendCloud()
        self.session = connect_in_memory(self.cloud)
        self.names: list[str] = []

    @initialize(minutes=MINUTES, nodes=st.integers(1, 3), recovery=st.sampled_from(RECOVERIES))
    def first(self, minutes: int, nodes: int, recovery: str) -> None:
        """Begin with a task that has its nodes."""
        self.submit(nodes, 1, recovery, minutes + 30, 0, listens=False)
        self.cloud.clock.advance(minutes=10)

    @precondition(lambda self: len(self.names) < MOST)
    @rule(
        nodes=st.integers(1, 3),
        retries=st.integers(0, 2),
        recovery=st.sampled_from(RECOVERIES),
        minutes=MINUTES,
        failures=st.integers(0, 3),
        listens=st.booleans(),
    )
    def submit(
        self, nodes: int, retries: int, recovery: str, minutes: int, failures: int, listens: bool
    ) -> None:
        """Submit a command that fails some times, and leaves when told of a notice, or doesn't."""

        def behave(run: PretendRun) -> Iterator[object]:
            for _ in range(minutes):
                yield timedelta(minutes=1)
                if listens and run.notice() is not None:
                    return 9
            return 5 if run.attempt < failures and run.rank == nodes - 1 else 0

        name = f"task{len(self.names)}"
        self.cloud.on(name, behave)
        flow.run(
            name, name=name, instance_type="a100", num_instances=nodes, retries=retries, recovery=recovery,
            max_price_per_hour=9, session=self.session,
        )  # fmt: skip
        self.names.append(name)

    @rule(minutes=MINUTES)
    def time_passes(self, minutes: int) -> None:
        """Let the clock go."""
        self.cloud.clock.advance(minutes=minutes)

    @rule(data=st.data(), minutes=MINUTES)
    def outbid(self, data: st.DataObject, minutes: int) -> None:
        """Have a rival bid more, shorter than the notice lasts (a rescue) or longer."""
        with suppress(FlowError):
            self.cloud.outbid(data.draw(st.sampled_from(self.names)), lasts=f"{minutes}m")

    @rule(data=st.data(), rank=st.integers(0, 2), back=st.none() | MINUTES)
    def lose_node(self, data: st.DataObject, rank: int, back: int | None) -> None:
        """Cut a node's power, for some time or for good."""
        with suppress(FlowError):
            self.cloud.lose_node(
                data.draw(st.sampled_from(self.names)), rank, back_after=back and f"{back}m"
            )

    @rule(dollars=st.integers(1, 12))
    def price_moves(self, dollars: int) -> None:
        """Have others pay another price everywhere."""
        self.cloud.raise_price(dollars)

    @rule(method=st.sampled_from(["place", "withdraw", "amend", "bids"]), after=st.booleans())
    def no_answer(self, method: str, after: bool) -> None:
        """Let the next call go unheard, before or after it took effect."""
        self.cloud.fail_next(method, after=after)

    @rule()
    def another_watcher(self) -> None:
        """Have a watcher that remembers nothing look once, as one does that was started after a kill."""
        with suppress(FlowError):
            Watcher(self.session.ports).tick()

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        """Ask for the end of a task."""
        with suppress(FlowError):
            self.session.tasks.cancel(data.draw(st.sampled_from(self.names)))

    @invariant()
    def no_task_bids_twice(self) -> None:
        """The cloud itself, which no fault keeps from telling, has one live bid of a task at most."""
        live = [line for line in self.cloud.ledger().lines if line.is_live]

        assert 1 >= max(Counter(base(line.name) for line in live).values(), default=0)

    @invariant()
    def no_task_ends_twice(self) -> None:
        """An outcome is written down once, and stays."""
        for name in self.names:
            ends = [
                event
                for event in self.session.tasks.history(name)
                if event.what in {f"the task {outcome.value}" for outcome in Outcome}
            ]
            assert len(ends) <= 1

    def teardown(self) -> None:
        """With the market quiet, every task comes to its end, and what it cost is what the ledger has."""
        self.cloud.raise_price("0.5")
        self.cloud.clock.advance(days=END.days)
        ledger: dict[str, Spend] = {}
        for line in self.cloud.ledger().lines:
            assert not line.is_live
            ledger[base(line.name)] = ledger.get(base(line.name), Spend.ZERO) + line.spent
        for name in self.names:
            record = self.session.tasks.record(name)
            cost = self.session.costs.of([record])[record.token]
            assert record.has_ended, (name, self.session.tasks.history(name))
            assert record.released, (name, self.session.tasks.history(name))
            assert cost.spent == ledger.get(name, Spend.ZERO)


def base(name: str) -> str:
    """The task's name, without what tells a bid from its later ones."""
    found = split_wire_name(name)
    return (found[0] if found is not None else name).partition(".")[0]


TestHealing = Healing.TestCase
TestHealing.settings = settings(
    max_examples=40, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
