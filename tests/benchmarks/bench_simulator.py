"""How quick the simulator's replies are with ten thousand bids in twenty markets, kept in a file."""

from __future__ import annotations

import itertools
import json
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flow_adapters.clocks import ManualClock
from flow_core.domain.money import Price
from flow_providers.mock.http.messages import Request, Response
from flow_providers.mock.http.service import Service, on_disk
from flow_providers.mock.prices import TYPES, MarketOnOffer
from flow_providers.mock.rules import Mood
from tests.benchmarks.harness import Effort, Measured, median

BIDS, MARKETS = 10_000, 20
LIMIT_S = 0.020
#: A bid in ten has ended by the time we measure.
ENDED_SHARE = 10
_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIIgZ8Pb0Q8kqkDEOsPOmLbXk2mXj8bSHGdTSnYV0Wqz"


def simulator(effort: Effort) -> list[Measured]:
    """Replies while ten thousand bids are placed, cleared, listed page by page and looked at."""
    with filled(500 if effort.is_quick else BIDS) as world:
        replies = {
            "place a bid": world.placed,
            "a round of every market": world.rounds(),
            "a page of 100 bids": world.pages("/v2/spot/bids"),
            "a page of 100 instances": world.pages("/v2/instances"),
            "one bid": world.looks(),
            "every market": world.repeated("/v2/spot/availability", times=50),
            "a price changed": world.amended(times=50),
        }
    all_times = tuple(itertools.chain.from_iterable(replies.values()))
    lines = [
        Measured(
            name=f"simulator: {name}",
            value=median(times),
            limit=LIMIT_S,
            note=f"{len(times):,} replies",
        )
        for name, times in replies.items()
    ]
    whole = Measured(
        name="simulator: any reply",
        value=median(all_times),
        limit=LIMIT_S,
        note=f"{len(world.bids):,} bids in {MARKETS} markets",
    )
    return [whole, *lines]


class World:
    """A simulator in a folder, and what was asked of it."""

    def __init__(self, service: Service, clock: ManualClock, folder: Path) -> None:
        self.folder = folder
        self._service = service
        self._clock = clock
        self._headers = {"authorization": f"Bearer {service.api_key}", "host": "localhost"}
        self.project = service.project
        self.bids: list[str] = []
        self.placed: tuple[float, ...] = ()

    def fill(self, count: int) -> None:
        """Place bids in every market, a second apart, and end some; rounds are held on the way."""
        rng, taken = random.Random(3), []
        markets = self.document("GET", "/v2/spot/availability")
        asked = {"project": self.project, "name": "k", "public_key": _KEY}
        key = self.document("POST", "/v2/ssh-keys", asked)["fid"]
        for number in range(count):
            market = markets[number % MARKETS]
            body = {
                "project": self.project, "region": market["region"],
                "instance_type": market["instance_type"], "name": f"bid-{number}",
                "limit_price": f"${2 + rng.randrange(1000) / 100:.2f}",
                "instance_quantity": rng.choice((1, 1, 2, 4)),
                "launch_specification": {"volumes": [], "ssh_keys": [key], "startup_script": "true\n" * 100},
            }  # fmt: skip
            took, reply = self.timed("POST", "/v2/spot/bids", body)
            taken.append(took)
            self.bids.append(reply.document["fid"])
            if number % ENDED_SHARE == 0:
                self.timed("DELETE", f"/v2/spot/bids/{self.bids[-1]}")
            if number % 500 == 0:
                self._clock.advance(seconds=10)
        self.placed = tuple(taken)

    def rounds(self) -> tuple[float, ...]:
        """Time the first reply after each of some rounds that every market had reason to hold."""
        found = []
        for _ in range(10):
            self.amended(times=MARKETS)
            self._clock.advance(minutes=2)
            found.append(self.timed("GET", "/v2/spot/availability")[0])
        return tuple(found)

    def pages(self, path: str) -> tuple[float, ...]:
        """Time every page of a list."""
        found, cursor = [], None
        while True:
            query = {"limit": "100", "project": self.project}
            took, reply = self.timed(
                "GET", path, query=query | ({"next_cursor": cursor} if cursor else {})
            )
            found.append(took)
            cursor = reply.document["next_cursor"]
            if cursor is None:
                return tuple(found)

    def looks(self) -> tuple[float, ...]:
        """Time reading single bids."""
        return tuple(self.timed("GET", f"/v2/spot/bids/{fid}")[0] for fid in self.bids[1::97])

    def repeated(self, path: str, *, times: int) -> tuple[float, ...]:
        """Time one request again and again."""
        return tuple(self.timed("GET", path)[0] for _ in range(times))

    def amended(self, *, times: int) -> tuple[float, ...]:
        """Time changing limits, in one market after the other."""
        return tuple(
            self.timed("PATCH", f"/v2/spot/bids/{fid}", {"limit_price": f"${3 + place / 100:.2f}"})[
                0
            ]
            for place, fid in enumerate(self.bids[1 : 1 + times])
        )

    def document(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Ask, and return what was answered."""
        return self.timed(method, path, body)[1].document

    def timed(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        query: dict[str, str] | None = None,
    ) -> tuple[float, Response]:
        """Ask, and return how long the answer took, with it."""
        request = Request(
            method=method,
            path=path,
            query=tuple((query or {}).items()),
            headers=self._headers,
            body=b"" if body is None else json.dumps(body).encode(),
        )
        begun = time.perf_counter()
        response = self._service.handle(request)
        took = time.perf_counter() - begun
        if response.status >= 500:
            raise RuntimeError(f"{method} {path}: {response.status} {response.body!r}")
        return took, response


@contextmanager
def filled(count: int) -> Iterator[World]:
    """Give a simulator with so many bids in its markets, some of them ended."""
    name = "h100-80gb.sxm.8x"
    markets = tuple(
        MarketOnOffer(
            type_name=name if number % 2 else next(iter(TYPES)), region=f"region-{number}",
            capacity=500, floor=Price.parse("1.00"), price=Price.parse("2.00"),
        )
        for number in range(MARKETS)
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        clock = ManualClock()
        service = on_disk(Path(folder), clock, rate=1.0, mood=Mood.QUIET, seed=1, markets=markets)
        world = World(service, clock, Path(folder))
        world.fill(count)
        yield world
