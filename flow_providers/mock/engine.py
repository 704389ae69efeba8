"""The pretend cloud's engine: one world, and every call a turn in it.

It has no thread and never sleeps. Each call first lets everything happen that is due by now (`rounds`), then does its
own work, then tells the host of the nodes what has changed. A turn that only looks, when nothing is due, writes
nothing. What is told to the host is written down with the change itself and crossed out afterwards, so a kill in
between repeats it, which hosts bear: at most one process tells at a time, in the order of the changes.

Given the seed, the calls and their times, the world is the same each time; how often it was looked at doesn't matter.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from attrs import evolve

from flow_core.domain.allocation import NodeState, Notice, NoticeKind
from flow_core.domain.bid import Launch
from flow_core.errors import FlowError
from flow_providers.mock import faults
from flow_providers.mock.birth import bear
from flow_providers.mock.nodes import HostedNode, NodeHost, NodeVolume
from flow_providers.mock.pace import Pace
from flow_providers.mock.prices import MARKETS, TYPES, MarketOnOffer
from flow_providers.mock.rounds import catch_up, meter
from flow_providers.mock.rows import EffectRow
from flow_providers.mock.rules import Rules
from flow_providers.mock.store import Store
from flow_providers.mock.world import World

T = TypeVar("T")
Act = Callable[[World, datetime], T]


class Engine:
    """A pretend cloud over a store, a host of nodes, and a pace of time."""

    def __init__(
        self,
        store: Store,
        host: NodeHost,
        *,
        pace: Pace,
        rules: Rules,
        seed: Callable[[], str],
        born_at: Callable[[], datetime],
        user: str = "you",
        markets: Sequence[MarketOnOffer] = MARKETS,
        on_wipe: Callable[[], None] | None = None,
    ) -> None:
        self.rules = rules
        self.host = host
        #: How many turns of this engine changed the world.
        self.changes = 0
        self._store = store
        self._pace = pace
        self._seed = seed
        self._born_at = born_at
        self._user = user
        self._markets = markets
        self._on_wipe = on_wipe
        self._lock = threading.RLock()

    def now(self) -> datetime:
        """Return the world's time."""
        with self._lock, self._store.reading() as world:
            if world.is_born:
                return self._pace.now(world.meta)
        return self.change(None, lambda _, now: now)

    def look(self, method: str | None, act: Act[T]) -> T:
        """Return what `act` reads from the world once it has caught up; `act` must change nothing.

        `method` names the call for faults that wait for it.
        """
        with self._lock:
            with self._store.reading() as world:
                if world.is_born:
                    now = self._pace.now(world.meta)
                    if not self._is_due(world, now, method):
                        return act(world, now)
            return self.change(method, act)

    def change(self, method: str | None, act: Act[T]) -> T:
        """Return what `act` did to the world, once that is on record and the host knows.

        A refusal (`FlowError`) that `act` raises must come before it changed anything.

        Raises:
            FlowError: the refusal, or the fault that waited for `method`.
        """
        with self._lock:
            answer, trouble = self._turn(method, act)
            self._tell_host()
            if trouble is not None:
                raise trouble
            return answer[0]

    def catch_up(self) -> None:
        """Let everything happen that is due by now."""
        self.look(None, lambda _, __: None)

    def skip(self, by: timedelta) -> None:
        """Let `by` of the world's time pass at once, where that time is its own, and what is due happen."""
        self.change(None, lambda world, _: self._pace.skip(world, by))
        self.catch_up()

    def next_event_at(self) -> datetime | None:
        """Return when something next happens by itself, in the market or on a node; None when nothing is planned."""
        with self._lock:
            with self._store.reading() as world:
                planned = world.next_due() if world.is_born else None
            on_nodes = self.host.next_event_at()
        times = [at for at in (planned, on_nodes) if at is not None]
        return min(times, default=None)

    def wipe(self) -> None:
        """Forget the world; the next call begins a new one."""
        with self._lock:
            self._store.wipe()
            if self._on_wipe is not None:
                self._on_wipe()

    def _turn(self, method: str | None, act: Act[T]) -> tuple[list[T], FlowError | None]:
        answer: list[T] = []
        trouble: FlowError | None = None
        with self._store.writing() as world:
            if not world.is_born:
                at, seed = self._born_at(), self._seed()
                bear(world, self.rules, seed=seed, user=self._user, at=at, markets=self._markets)
            self._pace.settle(world)
            now = self._pace.now(world.meta)
            catch_up(world, self.rules, now)
            fault = faults.take(world, method)
            if fault is not None and fault.kind != faults.AFTER:
                trouble = faults.trouble(fault)
            else:
                try:
                    answer.append(act(world, now))
                    trouble = faults.trouble(fault) if fault is not None else None
                except FlowError as refusal:
                    trouble = refusal
            catch_up(world, self.rules, now)
            self._pace.settle(world)
            self.changes += world.is_dirty
        return answer, trouble

    def _is_due(self, world: World, now: datetime, method: str | None) -> bool:
        due = world.next_due()
        if due is not None and due <= now:
            return True
        if world.effects.count() or self._pace.is_stale(world):
            return True
        return method is not None and faults.waits(world, method)

    def _tell_host(self) -> None:
        with self._store.reading() as world:
            if not world.effects.count():
                return
        with self._store.writing() as world:
            for each in world.effects.live():
                self._tell(world, each)
                world.effects.drop(each.id)

    def _tell(self, world: World, each: EffectRow) -> None:
        if each.what == "boot":
            self._boot(world, each)
        elif each.what == "notify":
            self.host.notify(each.target, _notice(world, each))
        elif each.what == "stop":
            self.host.stop(each.target, at=each.at)
        elif each.what == "destroy":
            self.host.destroy(each.target, at=each.at)
        elif each.what == "lose":
            self.host.lose(each.target, at=each.at)
        elif each.what == "create-volume":
            self.host.create_volume(each.target)
        elif each.what == "delete-volume":
            self.host.delete_volume(each.target)

    def _boot(self, world: World, each: EffectRow) -> None:
        """Boot a node; one that this machine can't start counts as lost, and its bid says why."""
        node = world.nodes.held(each.target)
        if node is None:
            return
        bid = world.bids.held(node.bid)
        owner = bid or world.reservations.held(node.bid)
        launch = world.launches.get(owner.id) if owner is not None else None
        market = world.markets.held(owner.market) if owner is not None else None
        if owner is None or launch is None or market is None or not node.is_booted:
            return
        hosted = HostedNode(
            id=node.id,
            bid_id=owner.id,
            rank=node.rank,
            shape=TYPES[market.type_name].shape,
            peers=owner.quantity,
            attachments=launch.attachments,
            name=f"{owner.name}-{node.rank}",
            keys=tuple(key.public_key for key in world.ssh_keys.find(launch.keys)),
            volumes=tuple(
                NodeVolume(
                    id=volume.id,
                    name=volume.name,
                    interface=volume.interface,
                    capacity_gb=volume.capacity_gb,
                )
                for volume in world.volumes.find(each.volume_id for each in launch.attachments)
            ),
        )
        start = Launch(
            script=launch.script,
            image=launch.image,
            keys=launch.keys,
            attachments=launch.attachments,
        )
        try:
            self.host.boot(hosted, start, at=each.at)
        except FlowError as refusal:
            world.nodes.put(
                evolve(node, state=NodeState.LOST, since=each.at, is_booted=False, changes_at=None)
            )
            if bid is not None:
                world.bids.put(
                    evolve(bid, detail=f"node {node.rank} could not start: {refusal.message}")
                )
                meter(world, self.rules, bid, each.at)


def _notice(world: World, each: EffectRow) -> Notice | None:
    if each.deadline is None:
        return None
    node = world.nodes.held(each.target)
    is_moving = node is not None and node.is_moving
    return Notice(NoticeKind.RELOCATION if is_moving else NoticeKind.PREEMPTION, each.deadline)
