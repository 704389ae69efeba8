"""Bids and their containers: what there is at the engine, and bringing it to where it should be.

A record without all of its containers is a bid that waits: for its image, for GPUs that others hold, or because whoever
was to make them was killed. Every look at the bids tries to grant those that wait, so that no process of ours has to
stay for it. Names of containers are unique, so two who grant one bid at once make one set of containers. GPUs are held
by the labels of containers from before they start: of two that took the same at one moment, the one made later steps
back before it starts.

A bid that ends is first marked as ended, by another such volume, so that nobody grants it again while its containers
go; whoever looks later takes away what somebody who was killed left of it. Containers without a record are nobody's.

What we don't like: a bid that waits is granted by whoever looks next, which is the watcher, at its own pace.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from attrs import evolve

from flow_adapters.at_once import at_once
from flow_core.domain.bid import Bid, BidRequest, BidState
from flow_core.errors import Conflict, FlowError, InvalidRequest, NotFound, Transient
from flow_core.ports.clock import Clock
from flow_providers.local_docker.clearing import Clearing
from flow_providers.local_docker.ended import Ended
from flow_providers.local_docker.engine import Engine
from flow_providers.local_docker.images import PLACING_WAITS_S, Images
from flow_providers.local_docker.labels import (
    BID,
    CLAIM,
    ENDED,
    MADE,
    Record,
    bid_of,
    id_of,
    new_record,
    read_record,
)
from flow_providers.local_docker.world import Box, Lookout, World, look_at

if TYPE_CHECKING:
    from flow_providers.local_docker.asked import Asked
    from flow_providers.local_docker.granting import Granting

#: For how long whoever placed a bid is left alone with making its containers.
_PLACING = timedelta(seconds=15)


class Estate:
    """Places, finds and ends bids, and has them granted by what `granting` returns.

    `before_end` is called with each container that is about to be removed.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        clock: Clock,
        ended: Ended,
        images: Images,
        lookout: Lookout,
        granting: Callable[[], Granting],
        before_end: Callable[[Record, Box], None],
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._ended = ended
        self._images = images
        self._lookout = lookout
        self._granting = granting
        self._clearing = Clearing(engine)
        self._before_end = before_end

    def look(self, *, grant: bool = True) -> World:
        """Return what there is now; bids that wait are granted first where that can be."""
        world = self._lookout.world()
        if not grant:
            return world
        self._clear(world)
        waiting = [
            record
            for record in world.records.values()
            if world.state(record) is BidState.OPEN and self._is_left(record.created_at)
        ]
        for record in sorted(waiting, key=lambda each: each.created_at):
            try:
                self._granting().grant(record, world)
            except InvalidRequest as error:
                self.end(record.id, why=error.message)
            except (Transient, Conflict, NotFound):
                pass  # the next look tries again
            world = look_at(self._engine)
        return world

    def place(self, request: BidRequest) -> Bid:
        """Write a bid down and grant it if that can be at once."""
        options = self._granting().options_of(request)
        claim = secrets.token_hex(8)
        image, more = self._images.named(request.launch.image)
        record = new_record(request, image=image, claim=claim, at=self._clock.now())
        record = evolve(record, options={**options, **more})
        with self._lookout.changing():
            there = self._written(record)
        if there.claim != claim:
            world = look_at(self._engine)
            if there.id not in world.ended:
                return bid_of(there, world.state(there))
            self._forget(there)
            self._written(record)
        try:
            world = look_at(self._engine)
            self._granting().grant(record, world, waits_s=PLACING_WAITS_S, delivers=True)
        except InvalidRequest:
            self.end(record.id)
            raise
        world = look_at(self._engine)
        return bid_of(record, world.state(record), detail=self.detail(record))

    def asked(self, request: BidRequest) -> Asked:
        """See `Granting.asked`."""
        return self._granting().asked(request)

    def end(self, bid_id: str, *, why: str | None = None, waits: bool = True) -> None:
        """End a bid, and remove all that it has, its record last; `why` is said of it from then on.

        Unless it `waits`, it returns when that is sure and its logs are kept, while its containers and disks go.
        """
        world = look_at(self._engine)
        record = world.records.get(bid_id)
        if record is None:
            return
        self._keep(record, world)
        ended_at = self._clock.now().isoformat()
        self._ended.write(evolve(record, ended_at=ended_at, detail=why or "", script=""))
        mark = {BID: bid_id, CLAIM: record.claim, ENDED: ended_at, MADE: "local-docker"}
        body = {"Name": f"flow-end-{bid_id}", "Labels": mark}
        with self._lookout.changing():
            self._engine.ask("POST", "/volumes/create", body=body)
        # The bid has ended by now, for everyone. A process that goes waits for its threads.
        removal = threading.Thread(target=self._take_away, args=(record,))
        removal.start()
        if waits:
            removal.join()

    def let_go(self, volume_id: str) -> None:
        """Take away what bids that have ended still have of a volume: whoever ended them may be at it, or be gone."""
        world = look_at(self._engine)
        for record in world.ending.values():
            if any(each["volume_id"] == volume_id for each in record.attachments):
                self._keep(record, world)
                self._forget(record)

    def bid(self, bid_id: str) -> Bid:
        """Return one bid with its script while it lives, or as it ended."""
        world = self.look()
        record = world.records.get(bid_id)
        if record is not None:
            state = world.state(record)
            return bid_of(record, state, detail=self.detail(record), with_script=True)
        ended = self._ended.read(bid_id)
        if ended is None:
            raise NotFound(f"there is no bid {bid_id!r} here")
        return bid_of(ended, BidState.TERMINATED)

    def bids(self, *, name: str | None, ids: Collection[str] | None, live: bool) -> Sequence[Bid]:
        """Return bids, newest first."""
        world = self.look()
        found = [
            bid_of(record, world.state(record), detail=self.detail(record))
            for record in world.records.values()
        ]
        if not live:
            some = ids if name is None else [id_of(name)]
            found += [
                bid_of(record, BidState.TERMINATED)
                for record in self._ended.records(some)
                if record.id not in world.records
            ]
        found = [
            bid for bid in found if name in (None, bid.name) and (ids is None or bid.id in ids)
        ]
        return sorted(found, key=lambda bid: bid.created_at, reverse=True)

    def detail(self, record: Record) -> str:
        """Return what the bid waits for, in words; empty where nothing is known."""
        return self._images.said(record)

    def _written(self, record: Record) -> Record:
        """Write a record down, and return what is written under its name: this one, or an older."""
        labels = {**record.labels(), MADE: "local-docker"}
        body = {"Name": f"flow-bid-{record.id}", "Labels": labels}
        return read_record(self._engine.ask("POST", "/volumes/create", body=body)["Labels"])

    def _is_left(self, since: str) -> bool:
        """Whether whoever began something then has had the time to end it."""
        return self._clock.now() - datetime.fromisoformat(since) >= _PLACING

    def _clear(self, world: World) -> None:
        """Take away what is left of bids that ended long enough ago, and containers that are no bid's."""
        for bid_id, ended_at in world.ended.items():
            record = world.ending.get(bid_id)
            if not self._is_left(ended_at):
                continue
            if record is None:
                self._clearing.unwrite(f"flow-end-{bid_id}")
            else:
                self._keep(record, world)
                self._forget(record)
        for bid_id, boxes in world.boxes.items():
            if bid_id in world.records or bid_id in world.ended:
                continue
            for box in boxes.values():
                self._clearing.drop(box["Id"])
            self._engine.ask("DELETE", f"/networks/flow-{bid_id}", fine=(403, 404))

    def _keep(self, record: Record, world: World) -> None:
        boxes = world.boxes.get(record.id, {}).values()
        at_once(lambda box: self._before_end(record, box), boxes)

    def _take_away(self, record: Record) -> None:
        with suppress(FlowError):  # whoever looks later goes on with it
            self._forget(record)

    def _forget(self, record: Record) -> None:
        with self._lookout.changing():
            self._clearing.remove(record)
            self._images.forget(record.id)
            self._clearing.unwrite(f"flow-bid-{record.id}")
            self._clearing.unwrite(f"flow-end-{record.id}")
