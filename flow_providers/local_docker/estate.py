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

import hashlib
import secrets
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from attrs import evolve

from flow_core.domain.bid import Bid, BidRequest, BidState
from flow_core.domain.task_parts import Source
from flow_core.errors import Conflict, FlowError, InvalidRequest, NotFound, Transient
from flow_core.ports.clock import Clock
from flow_providers.local_docker import gpus as machine
from flow_providers.local_docker.asked import Asked, absolute, read_options
from flow_providers.local_docker.clearing import Clearing
from flow_providers.local_docker.containers import (
    CACHE_FOLDER,
    container,
    container_name,
    is_root,
    network_name,
    open_folders,
)
from flow_providers.local_docker.ended import Ended
from flow_providers.local_docker.engine import Engine
from flow_providers.local_docker.facts import WORKSPACE
from flow_providers.local_docker.gpus import Gpus
from flow_providers.local_docker.images import PLACING_WAITS_S, Images
from flow_providers.local_docker.labels import (
    BID,
    CACHE,
    CLAIM,
    ENDED,
    MADE,
    Record,
    bid_of,
    id_of,
    new_record,
    read_record,
)
from flow_providers.local_docker.python_kit import PythonKit
from flow_providers.local_docker.s3fs_kit import S3fsKit
from flow_providers.local_docker.world import Box, Lookout, World, look_at

#: For how long whoever placed a bid is left alone with making its containers.
_PLACING = timedelta(seconds=15)
_LANES = 8


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
        self._s3fs = S3fsKit(engine)
        self._clearing = Clearing(engine)
        self._find_gpus = find_gpus
        self._before_end = before_end
        self._lookout = Lookout(engine)

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
                self.grant(record, world)
            except InvalidRequest as error:
                self.end(record.id, why=error.message)
            except (Transient, Conflict, NotFound):
                pass  # the next look tries again
            world = look_at(self._engine)
        return world

    def place(self, request: BidRequest) -> Bid:
        """Write a bid down and grant it if that can be at once."""
        options = absolute(request.launch.options)
        self.asked(request)
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
            self.grant(record, look_at(self._engine), waits_s=PLACING_WAITS_S)
        except InvalidRequest:
            self.end(record.id)
            raise
        world = look_at(self._engine)
        return bid_of(record, world.state(record), detail=self.detail(record))

    def asked(self, request: BidRequest) -> Asked:
        """Return what a request's options and mounts ask for.

        Raises:
            InvalidRequest: something can't be.
        """
        folders = [each for each in request.launch.mounts if each.kind is Source.HOST]
        return read_options(
            absolute(request.launch.options),
            workspace=WORKSPACE,
            folders=folders,
            quantity=request.quantity,
            is_here=self._engine.address.is_here,
        )

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
        asked = read_options(
            record.options,
            workspace=WORKSPACE,
            folders=record.folders(),
            is_here=self._engine.address.is_here,
        )
        config = about.get("Config") or {}
        user = asked.user or config.get("User", "")
        with ThreadPoolExecutor(
            _LANES
        ) as pool:  # the engine takes its time for each, and needs none for another
            network = pool.submit(self._make_network, record) if record.quantity > 1 else None
            machine_has = pool.submit(self._memory) if not (asked.memory or asked.shm) else None
            python = self._python.ready(record.image)
            s3fs = self._s3fs.ready(record.image) if record.has_buckets else None
            cache = self._cache(about, user) if record.has_environment else ""
        if network is not None:
            network.result()
        memory = machine_has.result() if machine_has is not None else 0
        found = self._gpus_there(record)

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
                cache=cache,
                s3fs=s3fs,
                raises_limits=raises_limits,
            )
            name = container_name(record, rank)
            self._engine.ask(
                "POST", "/containers/create", query={"name": name}, body=body, fine=(409,)
            )

        def start(rank: int) -> None:
            path = f"/containers/{container_name(record, rank)}"
            if not is_root(user):
                folders = open_folders(*([CACHE_FOLDER] if cache else []))
                self._engine.ask("PUT", f"{path}/archive", query={"path": "/"}, data=folders)
            self._engine.ask("POST", f"{path}/start")

        with self._lookout.changing(), ThreadPoolExecutor(_LANES) as pool:
            list(pool.map(make, range(record.quantity)))
            if record.id not in look_at(self._engine).records:
                self._clearing.remove(record)  # it was ended meanwhile
                return
            if record.gpus and not self._holds_alone(record):
                self._clearing.remove(record)
                return
            try:
                list(pool.map(start, range(record.quantity)))
            except InvalidRequest as error:
                if "rlimit" not in error.message or not raises_limits:
                    raise
                # A rootless engine, or one in a container, may not raise limits; its containers do without.
                self._ended.may_raise_limits = False
                self._clearing.remove(record)
                self.grant(record, world)

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

    def _gpus_for(self, record: Record, world: World) -> list[tuple[int, ...]] | None:
        """Return the GPUs of each rank; None while too few are free."""
        if not record.gpus:
            return [()] * record.quantity
        there = self._gpus_there(record)
        if record.pretends:
            return [()] * record.quantity
        others = [box for box in world.all_boxes() if box["Labels"][BID] != record.id]
        held = machine.held(others, pretended=there.pretended)
        free = [each for each in there.indices if each not in held]
        if len(free) < record.gpus * record.quantity:
            return None
        size = record.gpus
        return [tuple(free[rank * size : (rank + 1) * size]) for rank in range(record.quantity)]

    def _gpus_there(self, record: Record) -> Gpus:
        """Return the GPUs from which a bid's are taken; none where it wants none, or in name alone."""
        if record.pretends:
            return Gpus(pretended=True)
        return self._find_gpus() if record.gpus else Gpus()

    def _cache(self, image: Mapping[str, Any], user: str) -> str:
        """Return the volume that keeps the environments made in an image by a user, made where there is none."""
        known = hashlib.sha256(f"{image['Id']} {user}".encode()).hexdigest()[:12]
        name = f"flow-cache-{known}"
        tags = image.get("RepoTags") or [image["Id"]]
        labels = {CACHE: str(tags[0]), MADE: "local-docker"}
        self._engine.ask("POST", "/volumes/create", body={"Name": name, "Labels": labels})
        return name

    def _holds_alone(self, record: Record) -> bool:
        """Whether no older container of another bid holds one of this bid's GPUs."""
        world = look_at(self._engine)
        ours = list(world.boxes.get(record.id, {}).values())
        pretended = self._gpus_there(record).pretended
        mine = machine.held(ours, pretended=pretended)
        latest = max((_age(box) for box in ours), default=(0, ""))
        return not any(
            machine.held([box], pretended=pretended) & mine and _age(box) < latest
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
        with self._lookout.changing():
            self._clearing.remove(record)
            self._images.forget(record.id)
            self._clearing.unwrite(f"flow-bid-{record.id}")
            self._clearing.unwrite(f"flow-end-{record.id}")


def _age(box: Box) -> tuple[int, str]:
    return int(box["Created"]), str(box["Id"])
