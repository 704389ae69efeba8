"""The market role: this machine, free of charge, granted at once as long as something is free."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from flow_core.domain.bid import Bid, BidRequest, Quote
from flow_core.domain.money import Price
from flow_core.domain.shape import CPU, InstanceShape, parse_shape
from flow_core.errors import Conflict, InvalidRequest, NoCapacity, NotFound, Unsupported
from flow_core.ports.clock import Clock
from flow_providers.local_docker.engine import Engine
from flow_providers.local_docker.estate import Estate
from flow_providers.local_docker.facts import YES
from flow_providers.local_docker.labels import REGION

if TYPE_CHECKING:
    from flow_providers.local_docker.asked import Asked
    from flow_providers.local_docker.gpus import Gpus

_CPU = parse_shape(CPU)
#: What is pretended where a task names no GPU.
_PRETENDED = parse_shape("8xh100")
_GB = 1 << 30


class DockerMarket:
    """Implements `ports.market.Market`. An instance is a container; its type says how many GPUs it has."""

    def __init__(
        self, engine: Engine, estate: Estate, *, clock: Clock, find_gpus: Callable[[], Gpus]
    ) -> None:
        self._engine = engine
        self._estate = estate
        self._clock = clock
        self._find_gpus = find_gpus
        self._pretends = False

    def pretending(self) -> DockerMarket:
        """Return this market as it is for a task that asks for pretended GPUs: any number of any are on offer."""
        market = DockerMarket(
            self._engine, self._estate, clock=self._clock, find_gpus=self._find_gpus
        )
        market._pretends = True
        return market

    def quotes(self, shape: InstanceShape | None = None) -> Sequence[Quote]:
        """See `Market.quotes`."""
        return self._on_offer(shape, pretends=self._pretends)

    def _on_offer(self, shape: InstanceShape | None, *, pretends: bool) -> Sequence[Quote]:
        if shape is not None and shape.matches(_CPU, type_id=CPU):
            self._engine.ask("GET", "/_ping")
            return [self._quote(_CPU)]
        if pretends:
            self._engine.ask("GET", "/_ping")
            return [self._quote(shape if shape is not None else _PRETENDED)]
        from flow_providers.local_docker import gpus as machine

        found = self._find_gpus()
        boxes = self._estate.look(grant=False).all_boxes()
        held = machine.held(boxes, pretended=found.pretended)
        there = len(found.indices)
        free = len([each for each in found.indices if each not in held])
        quotes = [self._quote(_CPU)]
        for count in range(1, there + 1):
            of = found.shape(count)
            quotes.append(self._quote(of, available=free // count, capacity=there // count))
        return [
            each
            for each in quotes
            if shape is None or shape.matches(each.shape, type_id=each.type_id)
        ]

    def place(self, request: BidRequest) -> Bid:
        """See `Market.place`."""
        options = request.launch.options
        pretends = options.get("pretend_gpus") in YES
        known = {each.type_id: each for each in self._on_offer(request.shape, pretends=pretends)}
        if request.region != REGION or request.type_id not in known:
            raise NoCapacity(
                f"there is no {request.type_id!r} in {request.region!r}; {self.in_all()}",
                hint="ask for cpu, or for what there is",
            )
        quote = known[request.type_id]
        if quote.capacity is not None and request.quantity > quote.capacity:
            raise NoCapacity(
                f"{request.quantity} × {quote.shape} are more than this machine has: {self._has()}"
            )
        self._check_room(request, self._estate.asked(request))
        self._check_volumes(request)
        return self._estate.place(request)

    def bid(self, bid_id: str) -> Bid:
        """See `Market.bid`."""
        return self._estate.bid(bid_id)

    def bids(
        self, *, name: str | None = None, ids: Collection[str] | None = None, live: bool = False
    ) -> Sequence[Bid]:
        """See `Market.bids`."""
        if ids is not None and not ids:
            return []
        return self._estate.bids(name=name, ids=ids, live=live)

    def amend(self, bid_id: str, *, limit: Price | None = None, paused: bool | None = None) -> Bid:
        """See `Market.amend`."""
        bid = self._estate.bid(bid_id)
        if not bid.is_live:
            raise Conflict(f"{bid.name} has ended")
        if paused or limit not in (None, bid.limit):
            raise Unsupported(
                "containers of this machine cost nothing, so there is no price to change and nothing to pause"
            )
        return bid

    def withdraw(self, bid_id: str) -> None:
        """See `Market.withdraw`."""
        self._estate.end(bid_id, waits=False)

    def in_all(self) -> str:
        """Return what this machine has, and what to do without GPUs, as a clause."""
        advice = "" if self._find_gpus().indices else " (--pretend-gpus tries a GPU task on CPUs)"
        return f"this machine has {self._has()}{advice}"

    def _quote(
        self, shape: InstanceShape, *, available: int | None = None, capacity: int | None = None
    ) -> Quote:
        return Quote(
            type_id=str(shape),
            shape=shape,
            region=REGION,
            price=Price.ZERO,
            floor=Price.ZERO,
            as_of=self._clock.now(),
            available=available,
            capacity=capacity,
            source="this machine",
        )

    def _has(self) -> str:
        about = self._engine.ask("GET", "/info")
        memory = int(about["MemTotal"]) / _GB
        return f"{about['NCPU']} CPUs, {memory:.0f} GB of memory and {self._find_gpus()}"

    def _check_room(self, request: BidRequest, asked: Asked) -> None:
        """Refuse what the whole machine could not hold; what others use meanwhile is the kernel's to share out."""
        if asked.cpus is None and asked.memory is None:
            return
        from flow_providers.local_docker.asked import check_limits

        about = self._engine.ask("GET", "/info")
        check_limits(asked, about)
        wanted = request.quantity * (asked.cpus or 0)
        if wanted > about["NCPU"]:
            raise NoCapacity(
                f"{request.quantity} × {asked.cpus:g} CPUs are more than this machine has: {self._has()}"
            )
        if request.quantity * (asked.memory or 0) > about["MemTotal"]:
            size = (asked.memory or 0) / _GB
            raise NoCapacity(
                f"{request.quantity} × {size:g} GB are more than this machine has: {self._has()}"
            )

    def _check_volumes(self, request: BidRequest) -> None:
        missing = []
        for each in request.launch.attachments:
            try:
                self._engine.ask("GET", f"/volumes/{each.volume_id}")
            except NotFound:
                missing.append(each.volume_id)
        if missing:
            raise InvalidRequest({"mounts": f"there is no volume {', '.join(missing)} here"})
