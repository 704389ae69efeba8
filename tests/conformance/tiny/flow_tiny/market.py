"""The market role: one type in one region, free of charge, granted at once."""

import socket
from collections.abc import Collection, Sequence
from datetime import datetime

from flow_core.domain.bid import Bid, BidRequest, BidState, Quote
from flow_core.domain.money import Price
from flow_core.domain.shape import InstanceShape, parse_shape
from flow_core.errors import Conflict, InvalidRequest, NoCapacity, NotFound, Unsupported
from flow_core.ports.clock import Clock
from flow_tiny.ledger import Ledger, Record

TYPE, REGION, SHAPE = "process", "here", parse_shape("cpu")


class TinyMarket:
    """Implements `flow_core.ports.market.Market`."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock

    def quotes(self, shape: InstanceShape | None = None) -> Sequence[Quote]:
        """See `Market.quotes`."""
        if shape is not None and not shape.matches(SHAPE, type_id=TYPE):
            return []
        return [
            Quote(
                type_id=TYPE,
                shape=SHAPE,
                region=REGION,
                price=Price.ZERO,
                floor=Price.ZERO,
                as_of=self._clock.now(),
                source="this machine",
            )
        ]

    def place(self, request: BidRequest) -> Bid:
        """See `Market.place`."""
        if (request.type_id, request.region) != (TYPE, REGION):
            raise NoCapacity(f"{request.region} has no {request.type_id!r}", hint="ask for -i cpu")
        if request.launch.attachments:
            wanted = ", ".join(each.volume_id for each in request.launch.attachments)
            raise InvalidRequest({"mounts": f"tiny has no volumes, so none is {wanted}"})
        bid_id = self._ledger.id_of(request.name)
        record = self._ledger.record(bid_id)
        if record is None:
            record = {
                "name": request.name,
                "quantity": request.quantity,
                "limit": request.limit.micros,
                "created_at": self._clock.now().isoformat(),
                "port": free_port(),
            }
            self._ledger.write(bid_id, record)
            for rank in range(request.quantity):
                self._ledger.start_node(bid_id, rank, request.launch.script)
        return bid_of(bid_id, record)

    def bid(self, bid_id: str) -> Bid:
        """See `Market.bid`."""
        record = self._ledger.record(bid_id)
        if record is None:
            raise NotFound(f"tiny has no bid {bid_id!r}")
        return bid_of(bid_id, record)

    def bids(
        self,
        *,
        name: str | None = None,
        ids: Collection[str] | None = None,
        live: bool = False,
    ) -> Sequence[Bid]:
        """See `Market.bids`."""
        found = [
            bid
            for bid_id, record in self._ledger.records().items()
            for bid in [bid_of(bid_id, record)]
            if (name is None or bid.name == name)
            and (ids is None or bid.id in ids)
            and (bid.is_live or not live)
        ]
        return sorted(found, key=lambda bid: bid.created_at, reverse=True)

    def amend(self, bid_id: str, *, limit: Price | None = None, paused: bool | None = None) -> Bid:
        """See `Market.amend`."""
        bid = self.bid(bid_id)
        if not bid.is_live:
            raise Conflict(f"{bid.name} has ended")
        if limit is not None or paused is not None:
            raise Unsupported("tiny has no prices to bid and nothing to pause")
        return bid

    def withdraw(self, bid_id: str) -> None:
        """See `Market.withdraw`."""
        record = self._ledger.record(bid_id)
        if record is None or "ended_at" in record:
            return
        self._ledger.write(bid_id, {**record, "ended_at": self._clock.now().isoformat()})
        self._ledger.stop_nodes(bid_id)


def bid_of(bid_id: str, record: Record) -> Bid:
    """Return a record as the core's own value."""
    ended = record.get("ended_at")
    return Bid(
        id=bid_id,
        name=record["name"],
        state=BidState.TERMINATED if ended else BidState.ALLOCATED,
        shape=SHAPE,
        region=REGION,
        quantity=record["quantity"],
        limit=Price(record["limit"]),
        created_at=datetime.fromisoformat(record["created_at"]),
        ended_at=datetime.fromisoformat(ended) if ended else None,
        type_id=TYPE,
    )


def free_port() -> int:
    """Return a port on which the nodes of one bid may meet; they all share this host."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
