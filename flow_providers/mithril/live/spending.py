"""One small bid from its placing to its end, for at most so many dollars, whatever happens on the way.

The bound is by construction: the limit times the longest time that the bid can stand is at most what may be spent. The
bid is withdrawn in every case, and looked at until it has ended.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random

from flow_core.domain.bid import Bid, BidRequest, BidState, Launch, Quote
from flow_core.domain.money import Price, Spend
from flow_core.domain.names import new_token, wire_name
from flow_core.errors import FlowError, NoCapacity, Transient
from flow_core.ports.provider import Provider
from flow_providers.mithril.live.checks import there

#: How long the bid may stand in all, and how long nodes are looked at once they are there.
STANDS, HELD = timedelta(minutes=30), timedelta(minutes=2)
#: How long a withdrawn bid may take to be seen ended.
ENDS = timedelta(minutes=5)
_NAME = "flow-live"
_SCRIPT = "#!/bin/bash\ntrue\n"


class Spending:
    """Places one bid; `moments` holds what was seen of it, each with the seconds since it was placed."""

    def __init__(self, provider: Provider, *, most: Spend, chance: Random) -> None:
        self.moments: list[tuple[float, str]] = []
        self._provider = provider
        self._most = most
        self._name = wire_name(_NAME, new_token(chance))
        self._began: datetime | None = None

    def run(self) -> str:
        """Place the bid, watch it, end it, and say what it came to.

        Raises:
            NoCapacity: nothing on offer is cheap enough.
            FlowError: as the provider does; the bid has been withdrawn if it could be.
        """
        quote, limit = self._affordable()
        keys = there(self._provider.keys).keys()
        request = BidRequest(
            name=self._name,
            type_id=quote.type_id,
            shape=quote.shape,
            region=quote.region,
            quantity=1,
            limit=limit,
            launch=Launch(script=_SCRIPT, keys=tuple(key.id for key in keys[:1])),
        )
        self._began = self._provider.clock.now()
        try:
            bid = self._provider.market.place(request)
            self._note("placed")
            self._watch(bid)
        finally:
            self._end()
        paid = there(self._provider.usage).usage([bid.id])[bid.id]
        return f"one bid, placed, {self.moments[-1][1]}, with {len(paid)} paid stretches"

    def _affordable(self) -> tuple[Quote, Price]:
        """Return the cheapest market, and a limit for it that can't cost more than may be spent."""
        hours = STANDS / timedelta(hours=1)
        ceiling = Price(int(self._most.micros / hours))
        fitting = [
            quote
            for quote in self._provider.market.quotes()
            if quote.price <= ceiling and quote.available != 0
        ]
        if not fitting:
            raise NoCapacity(
                f"nothing on offer costs at most {ceiling}/hr, which is {self._most} for {hours:g} hours"
            )
        chosen = min(fitting, key=lambda quote: (quote.price, quote.type_id, quote.region))
        return chosen, min(max(chosen.price * 2, chosen.floor), ceiling)

    def _watch(self, bid: Bid) -> None:
        """Look at the bid until its node has run for a while, or its time is over."""
        clock, seen, runs_since = self._provider.clock, "", None
        assert self._began is not None
        while clock.now() - self._began < STANDS - ENDS:
            try:
                state = self._provider.market.bid(bid.id).state
                nodes = self._provider.fleet.allocations([bid.id])[bid.id].nodes
            except Transient:
                clock.sleep(10)
                continue
            what = " ".join([state.value, *(node.state.value for node in nodes)])
            if what != seen:
                self._note(what)
                seen = what
            if state is BidState.TERMINATED:
                return
            if nodes and all(node.address is not None for node in nodes):
                runs_since = runs_since or clock.now()
                if clock.now() - runs_since >= HELD:
                    return
            clock.sleep(10)

    def _end(self) -> None:
        """Withdraw whatever has the name, until all of it has ended.

        Raises:
            Transient: it could not be seen to have ended; the message has the name to look for.
        """
        market, clock = self._provider.market, self._provider.clock
        until = clock.now() + ENDS
        while True:
            try:
                live = market.bids(name=self._name, live=True)
                for each in live:
                    market.withdraw(each.id)
                if not live:
                    self._note("ended")
                    return
            except FlowError as trouble:
                if clock.now() >= until:
                    raise Transient(
                        f"the bid {self._name} may still stand: {trouble.message}",
                        hint="withdraw it on Mithril's site",
                    ) from trouble
            if clock.now() >= until:
                raise Transient(
                    f"the bid {self._name} still stands", hint="withdraw it on Mithril's site"
                )
            clock.sleep(5)

    def _note(self, what: str) -> None:
        assert self._began is not None
        passed = (self._provider.clock.now() - self._began).total_seconds()
        self.moments.append((round(passed, 1), what))
