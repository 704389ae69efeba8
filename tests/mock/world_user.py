"""A process that uses a world on disk until it is killed: `python -m tests.mock.world_user FOLDER SEED`."""

from __future__ import annotations

import random
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from attrs import evolve

from flow_adapters.clocks import SystemClock
from flow_core.domain.allocation import Notice
from flow_core.domain.bid import Launch
from flow_core.domain.run import LogChunk, RunReport
from flow_core.domain.volume import Attachment
from flow_core.errors import FlowError
from flow_core.ports.provider import Limits
from flow_providers.mock.control import Control
from flow_providers.mock.engine import Engine
from flow_providers.mock.memory_nodes import MemoryNodes
from flow_providers.mock.memory_shell import MemoryShell
from flow_providers.mock.nodes import HostedNode
from flow_providers.mock.pace import AnchoredPace
from flow_providers.mock.provide import provider
from flow_providers.mock.rules import IN_MEMORY, Mood
from flow_providers.mock.sqlite_store import SqliteStore
from tests.mock.bidders import bid, market

#: So fast that a round comes every 20 ms and a notice lasts 50.
RULES = evolve(IN_MEMORY, rate=6_000.0, mood=Mood.STORMY)


class FolderNodes:
    """A host whose nodes are files: one that is there is up."""

    def __init__(self, root: Path) -> None:
        self.root = root / "up"
        self.root.mkdir(parents=True, exist_ok=True)

    def boot(self, node: HostedNode, launch: Launch, *, at: datetime) -> None:
        """Make the node's file."""
        (self.root / node.id).touch()

    def stop(self, node_id: str, *, at: datetime) -> None:
        """Drop the node's file."""
        (self.root / node_id).unlink(missing_ok=True)

    destroy = lose = stop

    def notify(self, node_id: str, notice: Notice | None) -> None:
        """Do nothing."""

    def report(self, node_id: str) -> RunReport | None:
        """Know nothing."""
        return None

    def read(self, node_id: str, *, offset: int, limit: int) -> LogChunk | None:
        """Know nothing."""
        return None

    def create_volume(self, volume_id: str) -> None:
        """Do nothing."""

    def delete_volume(self, volume_id: str) -> None:
        """Do nothing."""

    def mount_problem(self, attachments: tuple[Attachment, ...]) -> str | None:
        """Mount anything."""
        return None

    def next_event_at(self) -> datetime | None:
        """Plan nothing."""
        return None


class Door:
    """A process's way into the world below `root`."""

    def __init__(self, root: Path) -> None:
        real = SystemClock()
        self.nodes = FolderNodes(root)
        self.store = SqliteStore(root / "world.sqlite")
        self.engine = Engine(
            self.store, self.nodes, pace=AnchoredPace(real, RULES), rules=RULES, seed=lambda: "s", born_at=real.now,
            markets=(market(capacity=8, price="3.00"),),
        )  # fmt: skip
        shell = MemoryShell(MemoryNodes(real))
        self.provider = provider(self.engine, shell=shell, clock=real, limits=Limits())
        self.control = Control(self.engine)


def main(root: Path, seed: str) -> None:
    """Bid, amend, withdraw and outbid at random, for ever; note each bid's id once it is accepted."""
    chance = random.Random(seed)
    door = Door(root)
    role = door.provider.market
    accepted = (root / f"accepted-{seed}").open("a", buffering=1)
    print("ready", flush=True)
    number = 0
    while True:
        live = list(role.bids(live=True))
        choices: Mapping[str, object] = {
            "place": None,
            "look": None,
            "amend": live,
            "withdraw": live,
            "outbid": live,
        }
        what = chance.choice([name for name, needs in choices.items() if needs is None or needs])
        chosen = chance.choice(live) if live else None
        try:
            if what == "place" and len(live) < 12:
                number += 1
                quantity = chance.randint(1, 3)
                placed = bid(
                    door, f"{seed}-{number}", f"{chance.randint(300, 900) / 100}", quantity=quantity
                )
                accepted.write(f"{placed.id}\n")
                print("accepted", flush=True)
            elif what == "amend" and chosen is not None:
                role.amend(chosen.id, paused=chance.choice([True, False]))
            elif what == "withdraw" and chosen is not None:
                role.withdraw(chosen.id)
            elif what == "outbid" and chosen is not None:
                door.control.outbid(chosen.id, lasts="10m")
            else:
                door.engine.catch_up()
        except FlowError:
            continue  # another process ended that bid first


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
