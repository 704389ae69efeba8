"""Reading bids: from the wire's words to the domain's, and where each was last seen.

Mithril's status of a bid is coarse. `Relocating` is told by a bid's own status call alone; everything finer is told by
its instances (`fleet.py`). In return, what a bid says of itself outranks instances that lag behind: so the last look at
each bid is kept for a moment, for the fleet to go by. Source: contract, gotchas 11 to 13.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from datetime import datetime, timedelta

from attrs import evolve

from flow_core.domain.bid import Bid, BidState
from flow_core.domain.shape import InstanceShape
from flow_core.errors import NotFound
from flow_core.ports.clock import Clock
from flow_providers.mithril import wire
from flow_providers.mithril.client import PAGE, Client, segment

STATES: dict[str, BidState] = {
    "open": BidState.OPEN,
    "allocated": BidState.ALLOCATED,
    "preempting": BidState.PREEMPTING,
    "relocating": BidState.RELOCATING,
    "paused": BidState.PAUSED,
    "terminated": BidState.TERMINATED,
}

#: How long a look at a bid is good enough for reading its instances; of real time.
FRESH = timedelta(seconds=2)
#: Up to so many bids are asked for one by one rather than by a sweep.
FEW = 8


class Bids:
    """Finds bids and remembers the last look at each."""

    def __init__(
        self, client: Client, shape: Callable[[str], InstanceShape], *, local: Clock
    ) -> None:
        self._client = client
        self._shape = shape
        self._local = local
        self._lock = threading.Lock()
        #: What each bid said of itself when it was last looked at, and when that was on this machine's clock.
        self._seen: dict[str, tuple[Bid, datetime]] = {}

    def one(self, bid_id: str) -> Bid:
        """Return one bid as it is now; an allocated one is asked whether it is being relocated.

        Raises:
            NotFound: there is none.
        """
        told = self._client.read("look up bid", wire.WholeBid, _path(bid_id))
        bid = evolve(self.noted(told), script=told.launch_specification.startup_script)
        if bid.state is not BidState.ALLOCATED:
            return bid
        try:
            finer = self._client.read(
                "look up bid", wire.InstanceStatus, f"{_path(bid_id)}/status"
            ).status
        except NotFound:
            return bid
        if _state(finer) is BidState.RELOCATING:
            return self._note(evolve(bid, state=BidState.RELOCATING, detail=finer))
        return bid

    def some(self, bid_ids: Collection[str]) -> list[Bid]:
        """Return those of these bids that exist, newest first, by few questions or one sweep."""
        wanted = set(bid_ids)
        if not wanted:
            return []
        if len(wanted) <= FEW:
            found = [bid for each in sorted(wanted) if (bid := self._if_there(each)) is not None]
        else:
            found = [bid for bid in self.sweep(until=wanted) if bid.id in wanted]
        return newest_first(found)

    def sweep(self, *, name: str | None = None, until: Collection[str] = ()) -> list[Bid]:
        """Return every bid of the project, or those of this exact name; stop early once all of `until` were seen."""
        query = {
            "project": self._client.project,
            "name": name,
            "limit": PAGE,
            "sort_by": "created_at",
            "sort_dir": "desc",
        }
        left = set(until)
        found: dict[str, Bid] = {}
        for page in self._client.pages("list bids", wire.Bid, "/v2/spot/bids", query):
            for each in page:
                # Pages may shift while they are read, so one bid can come twice; the later look counts.
                found[each.fid] = self.noted(each)
                left.discard(each.fid)
            if until and not left:
                break
        return newest_first([bid for bid in found.values() if name is None or bid.name == name])

    def fresh(self, bid_ids: Collection[str]) -> dict[str, Bid]:
        """Return these bids by id, as they were within the last moment; those not seen since are asked for."""
        since = self._local.now() - FRESH
        with self._lock:
            known = {
                each: self._seen[each][0]
                for each in bid_ids
                if each in self._seen and self._seen[each][1] >= since
            }
        return known | {bid.id: bid for bid in self.some(set(bid_ids) - set(known))}

    def noted(self, told: wire.Bid, *, shape: InstanceShape | None = None) -> Bid:
        """Return a bid in the domain's words, and remember it; with `shape` known, nothing is asked for that."""
        state = _state(told.status)
        if state is None:
            state = _guess(told)
        return self._note(
            Bid(
                id=told.fid,
                name=told.name,
                state=state,
                shape=shape or self._shape(told.instance_type),
                region=told.region or "",
                quantity=told.instance_quantity,
                limit=told.limit_price,
                created_at=told.created_at,
                ended_at=told.deactivated_at if state is BidState.TERMINATED else None,
                owner=told.created_by,
                type_id=told.instance_type,
                detail="" if told.status.lower() in STATES else told.status,
            )
        )

    def forget(self, bid_id: str) -> None:
        """Drop the last look at a bid, because something has just been done to it."""
        with self._lock:
            self._seen.pop(bid_id, None)

    def _note(self, bid: Bid) -> Bid:
        with self._lock:
            self._seen[bid.id] = (bid, self._local.now())
        return bid

    def _if_there(self, bid_id: str) -> Bid | None:
        try:
            return self.noted(self._client.read("look up bid", wire.Bid, _path(bid_id)))
        except NotFound:
            return None


def newest_first(bids: Collection[Bid]) -> list[Bid]:
    """Return bids by creation, the latest first; equals by id, so that a list is the same twice."""
    return sorted(bids, key=lambda bid: (bid.created_at, bid.id), reverse=True)


def _path(bid_id: str) -> str:
    return f"/v2/spot/bids/{segment(bid_id)}"


def _state(word: str) -> BidState | None:
    return STATES.get(word.lower())


def _guess(told: wire.Bid) -> BidState:
    """Return what a bid with an unknown status comes to: ended if it says since when, else by what it holds."""
    if told.deactivated_at is not None:
        return BidState.TERMINATED
    return BidState.ALLOCATED if told.instances else BidState.OPEN
