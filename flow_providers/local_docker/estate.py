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
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from attrs import evolve, field, frozen

from flow_core.domain.bid import Bid, BidRequest, BidState
from flow_core.errors import Conflict, FlowError, InvalidRequest, NotFound, Transient
from flow_core.ports.clock import Clock
from flow_providers.local_docker import gpus as machine
from flow_providers.local_docker.asked import absolute, read_options
from flow_providers.local_docker.containers import (
    WORKSPACE,
    container,
    container_name,
    is_root,
    network_name,
    open_folders,
)
from flow_providers.local_docker.ended import Ended
from flow_providers.local_docker.engine import Engine
from flow_providers.local_docker.gpus import Gpus
from flow_providers.local_docker.images import PLACING_WAITS_S, Images
from flow_providers.local_docker.labels import (
    BID,
    CLAIM,
    ENDED,
    MADE,
    RANK,
    Record,
    bid_of,
    id_of,
    new_record,
    read_record,
)
from flow_providers.local_docker.python_kit import PythonKit

#: For how long whoever placed a bid is left alone with making its containers.
_PLACING = timedelta(seconds=15)
_LANES = 8

Box = dict[str, Any]


@frozen
class World:
    """What the engine holds of ours: records by id, and containers by bid and rank."""

    records: dict[str, Record] = field(factory=dict)
    boxes: dict[str, dict[int, Box]] = field(factory=dict)
    #: When bids ended that are being taken away, and their records, which may have gone already.
    ended: dict[str, str] = field(factory=dict)
    ending: dict[str, Record] = field(factory=dict)

    def held(self) -> dict[str, tuple[Record, dict[int, Box]]]:
        """Return the record and the containers of each bid that isn't gone."""
        known = {**self.records, **self.ending}
        return {each.id: (each, self.boxes.get(each.id, {})) for each in known.values()}

    def all_boxes(self) -> list[Box]:
        """Return every container of every bid."""
        return [box for boxes in self.boxes.values() for box in boxes.values()]

    def state(self, record: Record) -> BidState:
        """Return where a bid is: allocated once all of its containers have been started."""
        boxes = self.boxes.get(record.id, {})
        started = [box for box in boxes.values() if box["State"] != "created"]
        return BidState.ALLOCATED if len(started) == record.quantity else BidState.OPEN


class Estate:
    """Places, finds, grants and ends bids. `find_gpus` tells what GPUs the machine has.

    `before_end` is called with each container that is about to be removed.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        clock: Clock,
        ended: Ended,
        images: Images,
        python: PythonKit,
        find_gpus: Callable[[], Gpus],
        before_end: Callable[[Record, Box], None],
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._ended = ended
        self._images = images
        self._python = python
        self._find_gpus = find_gpus
        self._before_end = before_end

    def look(self, *, grant: bool = True) -> World:
        """Return what there is now; bids that wait are granted first where that can be."""
        world = self._look()
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
                self.grant(record, world)
            except InvalidRequest as error:
                self.end(record.id, why=error.message)
            except (Transient, Conflict, NotFound):
                pass  # the next look tries again
            world = self._look()
        return world

    def place(self, request: BidRequest) -> Bid:
        """Write a bid down and grant it if that can be at once."""
        options = absolute(request.launch.options)
        read_options(options, workspace=WORKSPACE)
        claim = secrets.token_hex(8)
        image, more = self._images.named(request.launch.image)
        record = new_record(request, image=image, claim=claim, at=self._clock.now())
        record = evolve(record, options={**options, **more})
        there = self._written(record)
        if there.claim != claim:
            world = self._look()
            if there.id not in world.ended:
                return bid_of(there, world.state(there))
            self._forget(there)
            self._written(record)
        try:
            self.grant(record, self._look(), waits_s=PLACING_WAITS_S)
        except InvalidRequest:
            self.end(record.id)
            raise
        world = self._look()
        return bid_of(record, world.state(record), detail=self.detail(record))

    def grant(self, record: Record, world: World, *, waits_s: float = 0.0) -> None:
        """Make and start a bid's containers, unless its image or the GPUs for it are not here yet.

        Raises:
            InvalidRequest: the engine refuses to make or to start them; they are left as far as they came.
        """
        about = self._images.prepared(record, waits_s=waits_s)
        if about is None:
            return
        given = self._gpus_for(record, world)
        if given is None:
            return
        asked = read_options(record.options, workspace=WORKSPACE)
        python = self._python.ready(record.image)
        config = about.get("Config") or {}
        user = asked.user or config.get("User", "")
        if record.quantity > 1:
            self._make_network(record)
        memory = 0 if asked.memory or asked.shm else self._memory()
        found = self._find_gpus() if record.gpus else Gpus()

        raises_limits = self._ended.may_raise_limits

        def make(rank: int) -> None:
            body = container(
                record,
                rank,
                asked=asked,
                gpus=found,
                indices=given[rank],
                python=python,
                image_user=config.get("User", ""),
                memory=memory,
                raises_limits=raises_limits,
            )
            name = container_name(record, rank)
            self._engine.ask(
                "POST", "/containers/create", query={"name": name}, body=body, fine=(409,)
            )

        def start(rank: int) -> None:
            path = f"/containers/{container_name(record, rank)}"
            if not is_root(user):
                self._engine.ask("PUT", f"{path}/archive", query={"path": "/"}, data=open_folders())
            self._engine.ask("POST", f"{path}/start")

        with ThreadPoolExecutor(_LANES) as pool:
            list(pool.map(make, range(record.quantity)))
            if record.id not in self._look().records:
                self._remove(record)  # it was ended meanwhile
                return
            if record.gpus and not self._holds_alone(record):
                self._remove(record)
                return
            try:
                list(pool.map(start, range(record.quantity)))
            except InvalidRequest as error:
                if "rlimit" not in error.message or not raises_limits:
                    raise
                # A rootless engine, or one in a container, may not raise limits; its containers do without.
                self._ended.may_raise_limits = False
                self._remove(record)
                self.grant(record, world)

    def end(self, bid_id: str, *, why: str | None = None, waits: bool = True) -> None:
        """End a bid, and remove all that it has, its record last; `why` is said of it from then on.

        Unless it `waits`, it returns when nothing of it runs any more and its logs are kept, while its disks go.
        """
        world = self._look()
        record = world.records.get(bid_id)
        if record is None:
            return
        self._keep(record, world)
        ended_at = self._clock.now().isoformat()
        self._ended.write(evolve(record, ended_at=ended_at, detail=why or "", script=""))
        mark = {BID: bid_id, CLAIM: record.claim, ENDED: ended_at, MADE: "local-docker"}
        body = {"Name": f"flow-end-{bid_id}", "Labels": mark}
        self._engine.ask("POST", "/volumes/create", body=body)
        self._kill(world.boxes.get(bid_id, {}).values())
        # The bid has ended by now, for everyone. A process that goes waits for its threads.
        removal = threading.Thread(target=self._take_away, args=(record,))
        removal.start()
        if waits:
            removal.join()

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

    def _memory(self) -> int:
        """Return the engine's memory in bytes."""
        return int(self._engine.ask("GET", "/info")["MemTotal"])

    def _written(self, record: Record) -> Record:
        """Write a record down, and return what is written under its name: this one, or an older."""
        labels = {**record.labels(), MADE: "local-docker"}
        body = {"Name": f"flow-bid-{record.id}", "Labels": labels}
        return read_record(self._engine.ask("POST", "/volumes/create", body=body)["Labels"])

    def _look(self) -> World:
        # Containers first: a record is there before its containers, so that one without is nobody's, for sure.
        query = {"filters": {"label": [BID]}}
        boxes = self._engine.ask("GET", "/containers/json", query={**query, "all": "true"})
        volumes = self._engine.ask("GET", "/volumes", query=query)["Volumes"] or []
        labels = [each["Labels"] for each in volumes]
        records = [read_record(each) for each in labels if ENDED not in each]
        world = World(ended={each[BID]: each[ENDED] for each in labels if ENDED in each})
        for record in records:
            is_ended = record.id in world.ended
            (world.ending if is_ended else world.records)[record.id] = record
        for box in boxes:
            ranks = world.boxes.setdefault(box["Labels"][BID], {})
            ranks[int(box["Labels"][RANK])] = box
        return world

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
                self._unwrite(f"flow-end-{bid_id}")
            else:
                self._keep(record, world)
                self._forget(record)
        for bid_id, boxes in world.boxes.items():
            if bid_id in world.records or bid_id in world.ended:
                continue
            for box in boxes.values():
                self._drop(box["Id"])
            self._engine.ask("DELETE", f"/networks/flow-{bid_id}", fine=(403, 404))

    def _gpus_for(self, record: Record, world: World) -> list[tuple[int, ...]] | None:
        """Return the GPUs of each rank; None while too few are free."""
        if not record.gpus:
            return [()] * record.quantity
        others = [box for box in world.all_boxes() if box["Labels"][BID] != record.id]
        free = [each for each in self._find_gpus().indices if each not in machine.held(others)]
        if len(free) < record.gpus * record.quantity:
            return None
        size = record.gpus
        return [tuple(free[rank * size : (rank + 1) * size]) for rank in range(record.quantity)]

    def _holds_alone(self, record: Record) -> bool:
        """Whether no older container of another bid holds one of this bid's GPUs."""
        world = self._look()
        ours = list(world.boxes.get(record.id, {}).values())
        mine, latest = machine.held(ours), max((_age(box) for box in ours), default=(0, ""))
        return not any(
            machine.held([box]) & mine and _age(box) < latest
            for box in world.all_boxes()
            if box["Labels"][BID] != record.id
        )

    def _make_network(self, record: Record) -> None:
        body = {
            "Name": network_name(record),
            "CheckDuplicate": True,
            "Labels": {BID: record.id, MADE: "local-docker"},
        }
        self._engine.ask("POST", "/networks/create", body=body, fine=(409,))

    def _keep(self, record: Record, world: World) -> None:
        for box in world.boxes.get(record.id, {}).values():
            self._before_end(record, box)

    def _take_away(self, record: Record) -> None:
        with suppress(FlowError):  # whoever looks later goes on with it
            self._forget(record)

    def _forget(self, record: Record) -> None:
        self._remove(record)
        self._images.forget(record.id)
        self._unwrite(f"flow-bid-{record.id}")
        self._unwrite(f"flow-end-{record.id}")

    def _unwrite(self, volume: str) -> None:
        self._engine.ask("DELETE", f"/volumes/{volume}", query={"force": "true"}, fine=(404,))

    def _drop(self, name: str) -> None:
        path, query = f"/containers/{name}", {"force": "true", "v": "true"}
        try:
            self._engine.ask("DELETE", path, query=query, fine=(404,))
        except Conflict:  # someone else removes it at this moment
            self._engine.ask("POST", f"{path}/wait", query={"condition": "removed"}, fine=(404,))

    def _kill(self, boxes: Iterable[Box]) -> None:
        def kill(box: Box) -> None:
            self._engine.ask("POST", f"/containers/{box['Id']}/kill", fine=(404, 409))

        with ThreadPoolExecutor(_LANES) as pool:
            list(pool.map(kill, boxes))

    def _remove(self, record: Record) -> None:
        names = [container_name(record, rank) for rank in range(record.quantity)]
        with ThreadPoolExecutor(_LANES) as pool:
            list(pool.map(self._drop, names))
        if record.quantity > 1:
            self._engine.ask("DELETE", f"/networks/{network_name(record)}", fine=(403, 404))


def _age(box: Box) -> tuple[int, str]:
    return int(box["Created"]), str(box["Id"])
