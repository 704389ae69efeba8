"""The pretend cloud that a test suite holds: in memory, under a clock that the test moves.

    def test_survives_two_preemptions(pretend_cloud, session, clock):
        pretend_cloud.on("python train.py", takes="3h", checkpoints=True)
        ...
        pretend_cloud.outbid("resnet")
        clock.advance(hours=1)

The market is quiet: nothing moves a price but the test. Rounds come every two minutes, notices last five, nodes boot in
twenty seconds, all of the clock's time. A task that nobody disturbs runs within 140 seconds of its submit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from flow_adapters.clocks import ManualClock
from flow_core.domain.money import Price
from flow_core.ports.provider import Limits, Provider
from flow_providers.mock.control import Control, Ledger, Span
from flow_providers.mock.engine import Engine
from flow_providers.mock.memory_nodes import MemoryNodes
from flow_providers.mock.memory_shell import Answer, MemoryShell
from flow_providers.mock.pace import HeldPace
from flow_providers.mock.prices import MARKETS, MarketOnOffer
from flow_providers.mock.provide import OPTIONS, provider
from flow_providers.mock.rules import IN_MEMORY, Rules
from flow_providers.mock.store import MemoryStore, Store
from flow_providers.mock.told import Behave, Keeps, told


class PretendCloud:
    """One cloud in memory: a provider, the clock it lives by, and ways to make its life hard.

    `rules`, `seed`, `markets` and `user` make another world; the same ones make the same world.
    """

    def __init__(
        self,
        clock: ManualClock | None = None,
        *,
        rules: Rules = IN_MEMORY,
        seed: int = 0,
        markets: Sequence[MarketOnOffer] = MARKETS,
        user: str = "you",
        store: Store | None = None,
    ) -> None:
        self.clock = clock if clock is not None else ManualClock()
        self.nodes = MemoryNodes(self.clock)
        self.shell = MemoryShell(self.nodes)
        self.engine = Engine(
            store if store is not None else MemoryStore(),
            self.nodes,
            pace=HeldPace(self.clock),
            rules=rules,
            seed=lambda: str(seed),
            born_at=self.clock.now,
            user=user,
            markets=markets,
        )
        self.provider: Provider = provider(
            self.engine,
            shell=self.shell,
            clock=self.clock,
            limits=Limits(
                poll_s=60.0,
                script_is_private=True,
                options=OPTIONS,
                workspace="~/workspace",
                simulated=True,
                pauses=True,
                shares_hosts=True,
                image_note="the mock does not use images: the command runs as it was told",
            ),
        )
        self._control = Control(self.engine)
        self._listeners: list[Callable[[], object]] = []
        self.clock.add_stepper(self._next_due, self._step)
        self.engine.catch_up()

    def on(
        self,
        command: str,
        behave: Behave | None = None,
        *,
        takes: str | float | timedelta = 0,
        prints: Sequence[str] = (),
        exits: int = 0,
        checkpoints: bool | Keeps = False,
    ) -> None:
        """Tell what a command does from its next start; see `told.told`. `command` may be a pattern with * and ?."""
        self.nodes.tell(
            told(command, behave, takes=takes, prints=prints, exits=exits, checkpoints=checkpoints)
        )

    def on_shell(self, line: str, answer: Answer) -> None:
        """Tell how nodes answer a call of exactly `line` over the shell: an exit code, and what is printed."""
        self.shell.tell(line, answer)

    def after_events(self, listener: Callable[[], object]) -> Callable[[], None]:
        """Have `listener` called whenever the clock has passed something that happened; return what undoes this.

        A session in memory ticks its watcher so.
        """
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def changes(self) -> tuple[int, int]:
        """Return something that differs whenever the world or a run on a node has changed since; cheap to ask."""
        self.nodes.next_event_at()
        return self.engine.changes, self.nodes.changes

    def raise_price(
        self,
        price: str | float | Price,
        *,
        region: str | None = None,
        instance_type: str | None = None,
        lasts: Span | None = None,
    ) -> int:
        """Set what others pay per instance-hour, up or down, at once; for good, or for `lasts`. Returns the markets."""
        found = self._control.set_price(
            price, region=region, instance_type=instance_type, lasts=lasts
        )
        self._tell()
        return found

    def free_price(self, *, region: str | None = None, instance_type: str | None = None) -> int:
        """Take back what `raise_price` and `outbid` set; markets notice at their next round."""
        found = self._control.free_price(region=region, instance_type=instance_type)
        self._tell()
        return found

    def outbid(self, task: str, *, lasts: Span | None = None) -> Price:
        """Outbid a task at once; the rival leaves ten minutes after the notice has ended, or after `lasts`."""
        found = self._control.outbid(task, lasts=lasts)
        self._tell()
        return found

    def fail_next(self, method: str, *, after: bool = False, times: int = 1) -> None:
        """Let the next calls of a role's method raise Transient, before or after they took effect."""
        self._control.fail_next(method, after=after, times=times)

    def lose_node(self, task: str, rank: int = 0, *, back_after: Span | None = None) -> str:
        """Cut a node's power; it stays lost, or boots again after `back_after`."""
        found = self._control.lose_node(task, rank, back_after=back_after)
        self._tell()
        return found

    def lag_listing(self, seconds: float) -> None:
        """Keep new bids out of listings for so long after they were placed; 0 ends it."""
        self._control.lag_listing(seconds)

    def refuse_for_quota(self, *, times: int = 1) -> None:
        """Refuse the next bids for quota."""
        self._control.refuse_for_quota(times=times)

    def set_quota(self, instance_type: str, most: int | None) -> None:
        """Let the project hold at most so many instances of a type, by its name there; None for any number."""
        self._control.set_quota(instance_type, most)

    def ledger(self) -> Ledger:
        """Return what every bid has cost."""
        return self._control.ledger()

    def _next_due(self) -> datetime | None:
        return self.engine.next_event_at()

    def _step(self) -> None:
        self.engine.catch_up()
        self._tell()

    def _tell(self) -> None:
        for listener in list(self._listeners):
            listener()
