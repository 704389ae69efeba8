"""The fleet role: the instances of bids and reservations, by rank, with the notices that stand."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from flow_core.domain.allocation import Address, Allocation, Node, NodeState, Notice, NoticeKind
from flow_core.domain.bid import Bid, BidState
from flow_core.errors import NotFound
from flow_core.ports.clock import Clock
from flow_providers.mithril import wire
from flow_providers.mithril.bids import Bids
from flow_providers.mithril.client import PAGE, Client, segment
from flow_providers.mithril.ranks import ranked

#: How many bids' instances are asked for at once; their ids make a query of about 2,000 characters.
BATCH = 80
#: How long a notice lasts where Mithril doesn't say until when. Source: contract section 3.
NOTICE = timedelta(minutes=5)
USER = "ubuntu"

_STARTING = NodeState.STARTING
#: The service's words, and two of older clients; a word that is not here is a node that can't be relied on yet.
STATES: dict[str, NodeState] = {
    "STATUS_NEW": _STARTING,
    "STATUS_CONFIRMED": _STARTING,
    "STATUS_SCHEDULED": _STARTING,
    "STATUS_INITIALIZING": _STARTING,
    "STATUS_STARTING": _STARTING,
    "STATUS_RUNNING": NodeState.RUNNING,
    "STATUS_PREEMPTING": NodeState.LEAVING,
    "STATUS_RELOCATING": NodeState.LEAVING,
    "STATUS_STOPPING": NodeState.LEAVING,
    "STATUS_PREEMPTED": NodeState.STOPPED,
    "STATUS_PAUSED": NodeState.STOPPED,
    "STATUS_STOPPED": NodeState.STOPPED,
    "STATUS_REPLACED": NodeState.GONE,
    "STATUS_TERMINATED": NodeState.GONE,
    "STATUS_ERROR": NodeState.LOST,
}
_NOTICES = {
    "STATUS_PREEMPTING": NoticeKind.PREEMPTION,
    "STATUS_RELOCATING": NoticeKind.RELOCATION,
}
#: A bid in one of these has no working node, whatever its instances still say.
_HOLDS_NOTHING = frozenset({BidState.OPEN, BidState.PAUSED})
_PORT = re.compile(r"(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^:]+))(?::(?P<port>[0-9]{1,5}))?")


class MithrilFleet:
    """Implements `ports.fleet.Fleet` over /v2/instances; an id of a reservation is answered like a bid's."""

    def __init__(self, client: Client, *, bids: Bids, clock: Clock) -> None:
        self._client = client
        self._bids = bids
        self._clock = clock
        self._noticed: dict[str, tuple[NoticeKind, datetime]] = {}

    def allocations(self, bid_ids: Collection[str]) -> Mapping[str, Allocation]:
        """See `Fleet.allocations`."""
        asked = list(dict.fromkeys(bid_ids))
        reserved = [each for each in asked if each.startswith("res_")]
        bids = self._bids.fresh([each for each in asked if not each.startswith("res_")])
        live = [each for each in bids.values() if each.is_live]
        by_owner: dict[str, list[wire.Instance]] = {}
        for each in self._instances("bid_fid_in", [bid.id for bid in live]):
            by_owner.setdefault(each.bid or "", []).append(each)
        for each in self._instances("reservation_fid_in", reserved):
            by_owner.setdefault(each.reservation or "", []).append(each)
        found = {bid.id: self._of_bid(bid, by_owner.get(bid.id, [])) for bid in live}
        found |= {each: self._of_reservation(each, by_owner.get(each, [])) for each in reserved}
        return {each: found.get(each) or Allocation(bid_id=each) for each in asked}

    def _instances(self, filter_name: str, ids: Sequence[str]) -> Iterator[wire.Instance]:
        """Yield the instances of these orders, once each."""
        seen: set[str] = set()
        for start in range(0, len(ids), BATCH):
            query = {
                "project": self._client.project,
                filter_name: ",".join(ids[start : start + BATCH]),
                "limit": PAGE,
            }
            for each in self._client.listed(
                "list instances", wire.Instance, "/v2/instances", query
            ):
                if each.fid not in seen:
                    seen.add(each.fid)
                    yield each

    def _of_bid(self, bid: Bid, instances: Sequence[wire.Instance]) -> Allocation:
        held = ranked(instances, bid_name=bid.name, quantity=bid.quantity)
        nodes = [_node(each, rank, _bounded(each, bid.state)) for rank, each in enumerate(held)]
        notice = self._notice(bid, held)
        return Allocation(bid_id=bid.id, nodes=tuple(nodes), notice=notice)

    def _of_reservation(
        self, reservation_id: str, instances: Sequence[wire.Instance]
    ) -> Allocation:
        held = ranked(instances, bid_name="", quantity=len(instances))
        nodes = [_node(each, rank, _state(each)) for rank, each in enumerate(held)]
        return Allocation(bid_id=reservation_id, nodes=tuple(nodes))

    def _notice(self, bid: Bid, held: Sequence[wire.Instance]) -> Notice | None:
        """Return the notice that stands; its end is asked of the first instance that leaves, for the bid as a whole."""
        if not held or bid.state in _HOLDS_NOTHING:
            self._noticed.pop(bid.id, None)
            return None
        leaving = [each for each in held if each.status in _NOTICES]
        if bid.state is BidState.PREEMPTING:
            kind, asked = NoticeKind.PREEMPTION, (leaving or held)[0]
        elif bid.state is BidState.RELOCATING:
            kind, asked = NoticeKind.RELOCATION, (leaving or held)[0]
        elif leaving:
            kind, asked = _NOTICES[leaving[0].status], leaving[0]
        else:
            self._noticed.pop(bid.id, None)
            return None
        return Notice(kind, self._deadline(bid.id, kind, asked.fid))

    def _deadline(self, bid_id: str, kind: NoticeKind, instance_id: str) -> datetime:
        try:
            told = self._client.read(
                "read notice",
                wire.InstanceStatus,
                f"/v2/instances/{segment(instance_id)}/status",
            )
        except NotFound:
            told = None
        if told is not None and told.end_time is not None:
            self._noticed[bid_id] = (kind, told.end_time)
        elif self._noticed.get(bid_id, (None,))[0] is not kind:
            self._noticed[bid_id] = (kind, self._clock.now() + NOTICE)
        return self._noticed[bid_id][1]


def address_of(destination: str | None) -> Address | None:
    """Return where a node's shell answers, from `host`, `host:port`, `[v6]:port` or a bare IPv6 address."""
    text = (destination or "").strip().removeprefix("ssh://")
    user, at, rest = text.rpartition("@")
    text = rest if at else text
    if not text:
        return None
    found = _PORT.fullmatch(text)
    if found is None:
        return Address(text, user=user or USER)
    port = int(found["port"] or 22)
    host = found["v6"] or found["host"]
    return Address(host, port if 0 < port < 65_536 else 22, user=user or USER)


def _node(told: wire.Instance, rank: int, state: NodeState) -> Node:
    return Node(
        id=told.fid,
        rank=rank,
        state=state,
        address=address_of(told.ssh_destination),
        private_ip=told.private_ip,
        since=told.created_at,
    )


def _state(told: wire.Instance) -> NodeState:
    """Return an instance's own state; without an address it can't be running for anyone."""
    state = STATES.get(told.status, _STARTING)
    if state is NodeState.RUNNING and address_of(told.ssh_destination) is None:
        return _STARTING
    return state


def _bounded(told: wire.Instance, bid: BidState) -> NodeState:
    """Return an instance's state as far as its bid's allows it: a bid that goes outranks instances that lag."""
    state = _state(told)
    if bid in _HOLDS_NOTHING:
        return NodeState.STOPPED
    if bid in (BidState.PREEMPTING, BidState.RELOCATING) and state is NodeState.RUNNING:
        return NodeState.LEAVING
    return state
