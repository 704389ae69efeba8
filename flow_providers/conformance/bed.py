"""What one test lies in: a provider of the rig's, what the test made there, and the way to wait.

Whatever a test places or creates is withdrawn and deleted when it is over, found again by name where its id was never
heard. No test sleeps: `until` looks, lets the rig pass some of the provider's time, and looks again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from random import Random
from time import perf_counter
from typing import NoReturn, TypeVar

import pytest
from attrs import evolve, field, frozen

from flow_core.domain.allocation import Allocation, Node, NodeState
from flow_core.domain.bid import Bid, BidRequest, BidState, Quote
from flow_core.domain.money import Price
from flow_core.domain.names import new_token, readable_name, wire_name
from flow_core.domain.run import RunPhase, RunReport, Stream
from flow_core.domain.volume import Attachment, Interface, Volume
from flow_core.errors import FlowError, InUse, Transient, Unsupported
from flow_core.ports.account import Account
from flow_core.ports.catalog import Catalog
from flow_core.ports.logs import Logs
from flow_core.ports.provider import Provider
from flow_core.ports.shell import Call, NodeExit, NodeLost, NodeOutput
from flow_core.ports.usage import UsageHistory
from flow_core.ports.volumes import Volumes
from flow_providers.conformance.lines import NOTHING, STAYS, Line
from flow_providers.conformance.rig import FEATURES, Rig

Found = TypeVar("Found")
Control = TypeVar("Control")

#: How often tidying up is tried again where the provider gives no answer.
_TRIES = 5


@frozen
class Answer:
    """What one call on a node came to; `code` is None where the node was lost, and `lost` says why."""

    out: bytes = b""
    err: bytes = b""
    code: int | None = None
    lost: str = field(default="")


class Bed:
    """A test's hold on a provider. Every wait is bounded by the rig's patience."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.provider: Provider = rig.provider()
        self.market = self.provider.market
        self.fleet = self.provider.fleet
        self.shell = self.provider.shell
        self._chance = Random()  # names must be new on an account that earlier runs have used
        self._names: list[str] = []
        self._bids: list[str] = []
        self._volumes: list[str] = []

    # ------------------------------------------------------------ what is there

    @property
    def now(self) -> datetime:
        """The provider's time."""
        return self.provider.clock.now()

    @property
    def logs(self) -> Logs:
        """The logs role, or a skip."""
        return self._role("logs", self.provider.logs)

    @property
    def volumes(self) -> Volumes:
        """The volumes role, or a skip."""
        return self._role("volumes", self.provider.volumes)

    @property
    def account(self) -> Account:
        """The account role, or a skip."""
        return self._role("account", self.provider.account)

    @property
    def usage(self) -> UsageHistory:
        """The usage role, or a skip."""
        return self._role("usage", self.provider.usage)

    @property
    def catalog(self) -> Catalog:
        """The catalog role, or a skip."""
        return self._role("catalog", self.provider.catalog)

    def control(self, name: str, control: Control | None) -> Control:
        """Return a control of the rig's, or skip for the lack of it."""
        if control is None:
            self.lack(name, f"the rig has no control {name!r}")
        return control

    def need_commands(self) -> None:
        """Skip where nodes don't really run commands."""
        if not self.rig.runs_commands:
            self.lack("commands")

    def lack(self, name: str, sentence: str | None = None) -> NoReturn:
        """Skip the test for want of `name`, or fail where the rig doesn't allow for that."""
        why = sentence or f"{self.provider.name} lacks {FEATURES[name]}"
        allowed = self.rig.may_lack
        if allowed is not None and name not in allowed:
            pytest.fail(f"{why}, and the rig doesn't name {name!r} in may_lack")
        pytest.skip(why)

    def _role(self, name: str, role: Found | None) -> Found:
        if role is None:
            self.lack(name)
        return role

    # ------------------------------------------------------------ time

    def let_pass(self, seconds: float) -> None:
        """Let some of the provider's time pass."""
        self.rig.advance(self.provider.clock, seconds)

    def a_while(self) -> None:
        """Let enough time pass for anything that was going to happen by itself."""
        self.let_pass(self.rig.a_while_s)

    def until(self, awaited: str, look: Callable[[], Found | None]) -> Found:
        """Return what `look` finds, looking again and again until it is something."""
        start, left = self.now, self.rig.patience_s
        while True:
            found = look()
            if found:
                return found
            if left <= 0:
                pytest.fail(
                    f"{(self.now - start).total_seconds():g} s passed without this: {awaited}"
                )
            self.let_pass(self.rig.step_s)
            left -= self.rig.step_s

    def within(self, seconds: float, call: Callable[[], Found]) -> Found:
        """Return what `call` does; fail if that took more than so many real seconds."""
        began = perf_counter()
        found = call()
        took = perf_counter() - began
        assert took < seconds, f"took {took:.1f} s, and {seconds:g} s are promised"
        return found

    # ------------------------------------------------------------ bids

    def quote(self, *, quantity: int = 1, region: str | None = None) -> Quote:
        """Return the cheapest quote for the rig's shape that has `quantity` instances free, or skip."""
        on_offer = [
            quote
            for quote in self.market.quotes(self.rig.a_shape())
            if (quote.available is None or quote.available >= quantity)
            and region in (None, quote.region)
        ]
        if not on_offer and quantity > 1:
            self.lack("two-nodes")
        assert on_offer, (
            f"{self.provider.name} has nothing on offer for {self.rig.a_shape() or 'any shape'}"
        )
        return min(on_offer, key=lambda quote: (quote.price, quote.region, quote.type_id))

    def new_name(self) -> str:
        """Return a wire name that nobody has, to be tidied up after."""
        name = wire_name(f"kit-{readable_name(self._chance)}", new_token(self._chance))
        self._names.append(name)
        return name

    def request(
        self,
        line: Line = STAYS,
        *,
        quote: Quote | None = None,
        quantity: int = 1,
        limit: Price | None = None,
        name: str | None = None,
        attachments: tuple[Attachment, ...] = (),
    ) -> BidRequest:
        """Return a request that wins and runs `line`, unless told otherwise."""
        quote = quote or self.quote(quantity=quantity)
        name = name or self.new_name()
        return BidRequest(
            name=name,
            type_id=quote.type_id,
            shape=quote.shape,
            region=quote.region,
            quantity=quantity,
            limit=self.rig.a_limit(quote) if limit is None else limit,
            launch=self.rig.launch(
                line.text,
                name=name,
                provider=self.provider,
                quantity=quantity,
                attachments=attachments,
            ),
        )

    def place(self, request: BidRequest | None = None) -> Bid:
        """Place a bid that is withdrawn when the test is over."""
        request = request or self.request()
        bid = self.market.place(request)
        self._bids.append(bid.id)
        self._names = [name for name in self._names if name != request.name]
        return bid

    def place_many(self, count: int) -> list[Bid]:
        """Place so many bids at the floor, which may never win; they differ in their names alone."""
        quote = self.quote()
        like = self.request(quote=quote, limit=quote.floor)
        return [self.place(evolve(like, name=self.new_name())) for _ in range(count)]

    def state(self, bid: Bid) -> BidState:
        """Return where a bid is now."""
        return self.market.bid(bid.id).state

    def allocation(self, bid: Bid) -> Allocation:
        """Return what a bid holds now."""
        found = self.fleet.allocations([bid.id])
        assert bid.id in found, "every id asked for is answered"
        return found[bid.id]

    def listed(self, bid: Bid) -> None:
        """Wait until listings must show a bid just placed."""
        if self.provider.limits.listing_lag_s:
            self.let_pass(self.provider.limits.listing_lag_s)

    def granted(self, request: BidRequest | None = None) -> tuple[Bid, Allocation]:
        """Place a bid and return it with its nodes, all of them up."""
        bid = self.place(request)
        return bid, self.nodes_up(bid)

    def nodes_up(self, bid: Bid) -> Allocation:
        """Wait until every node of `bid` can be reached: a machine may be up before its shell is."""

        def look() -> Allocation | None:
            allocation = self.allocation(bid)
            whole = len(allocation.nodes) == bid.quantity and allocation.is_complete
            if not whole or allocation.notice is not None:
                return None
            calls = [Call(node=node, line=NOTHING.text) for node in allocation.nodes]
            answered = not self.rig.runs_commands or all(
                each.code == NOTHING.code for each in self.answers(calls)
            )
            return allocation if answered else None

        return self.until(f"all {bid.quantity} nodes of {bid.name} up", look)

    def nodes_down(self, bid: Bid) -> None:
        """Wait until no node of `bid` runs."""
        gone = (NodeState.STOPPED, NodeState.GONE)
        self.until(
            f"every node of {bid.name} stopped or gone",
            lambda: all(node.state in gone for node in self.allocation(bid).nodes),
        )

    def amended(self, bid: Bid, *, limit: Price | None = None, paused: bool | None = None) -> Bid:
        """Amend a bid, or skip where this provider can't."""
        try:
            return self.market.amend(bid.id, limit=limit, paused=paused)
        except Unsupported:
            self.lack("amend-limit" if limit is not None else "pause")

    def preempted(self, bid: Bid) -> None:
        """Have a bid outbid, and wait until it holds nodes no more."""
        self.control("outbid", self.rig.controls.outbid)(bid)
        self.until(f"{bid.name} open again, outbid", lambda: self.state(bid) is BidState.OPEN)
        self.nodes_down(bid)

    # ------------------------------------------------------------ nodes

    def answer(
        self, node: Node, line: str, *, stdin: bytes = b"", timeout_s: float | None = 60.0
    ) -> Answer:
        """Run one line on one node and return what came of it."""
        return self.answers([Call(node=node, line=line, stdin=stdin)], timeout_s=timeout_s)[0]

    def answers(self, calls: Sequence[Call], *, timeout_s: float | None = 60.0) -> list[Answer]:
        """Run calls on nodes, one a node, and return what came of each, in their order."""
        out: dict[tuple[str, Stream], bytes] = {}
        ends: dict[str, NodeExit | NodeLost] = {}
        for event in self.shell.run_many(calls, timeout_s=timeout_s):
            if isinstance(event, NodeOutput):
                key = (event.node.id, event.stream)
                out[key] = out.get(key, b"") + event.data
            else:
                ends[event.node.id] = event
        return [
            Answer(
                out=out.get((call.node.id, Stream.OUT), b""),
                err=out.get((call.node.id, Stream.ERR), b""),
                code=end.code if isinstance(end, NodeExit) else None,
                lost=end.reason if isinstance(end, NodeLost) else "",
            )
            for call in calls
            for end in [ends[call.node.id]]
        ]

    def ended(self, bid: Bid) -> RunReport:
        """Wait until the command of a bid with one node has ended, and return its report."""

        def look() -> RunReport | None:
            reports = self.logs.reports([bid.id])[bid.id]
            return reports[0] if reports and reports[0].phase is RunPhase.EXITED else None

        return self.until(f"the command of {bid.name} ended", look)

    # ------------------------------------------------------------ volumes

    def new_volume_name(self) -> str:
        """Return a name that no volume has, to be tidied up after."""
        name = f"kit-{readable_name(self._chance)}-{new_token(self._chance)}"
        self._volumes.append(name)
        return name

    def create_volume(
        self,
        *,
        region: str | None = None,
        name: str | None = None,
        interface: Interface = Interface.FILE,
    ) -> Volume:
        """Make a volume that is deleted when the test is over."""
        return self.volumes.create(
            name or self.new_volume_name(),
            region=region or self.quote().region,
            capacity_gb=self.rig.a_capacity_gb(),
            interface=interface,
        )

    # ------------------------------------------------------------ afterwards

    def tidy(self) -> None:
        """Withdraw every bid and delete every volume that the test made."""
        try:
            for name in self._names:
                self._bids += [bid.id for bid in self._again(partial(self.market.bids, name=name))]
            for bid_id in dict.fromkeys(self._bids):
                self._again(partial(self.market.withdraw, bid_id))
            if self._volumes and self.provider.volumes is not None:
                self.until("the test's volumes deleted", self._drop_volumes)
        finally:
            self.rig.close()

    def _drop_volumes(self) -> bool:
        left = [
            volume for volume in self._again(self.volumes.volumes) if volume.name in self._volumes
        ]
        for volume in left:
            try:
                self._again(partial(self.volumes.delete, volume.id))
            except InUse:
                return False
        return True

    def _again(self, call: Callable[[], Found]) -> Found:
        for _ in range(_TRIES):
            try:
                return call()
            except Transient:
                self.let_pass(self.rig.step_s)
        return call()


def refuses(kind: type[FlowError], call: Callable[[], object]) -> FlowError:
    """Return the error of this kind that `call` raises, which must say something."""
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value).strip(), f"{kind.__name__} came without a sentence"
    return caught.value
