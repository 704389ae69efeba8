"""Granting a bid: its containers, made and started, with the GPUs that they get.

Loaded only where there is one to grant: most commands look at what is there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from flow_adapters.at_once import at_once
from flow_core.domain.allocation import Node, NodeState
from flow_core.domain.bid import BidRequest
from flow_core.domain.task_parts import Source
from flow_providers.local_docker import gpus as machine
from flow_providers.local_docker.asked import Asked, absolute, read_options
from flow_providers.local_docker.clearing import Clearing
from flow_providers.local_docker.containers import CACHE_FOLDER, container, is_root, open_folders
from flow_providers.local_docker.engine import Engine
from flow_providers.local_docker.facts import WORKSPACE
from flow_providers.local_docker.gpus import Gpus
from flow_providers.local_docker.images import Images
from flow_providers.local_docker.labels import (
    BID,
    CACHE,
    MADE,
    Record,
    container_name,
    network_name,
)
from flow_providers.local_docker.limits import Limits
from flow_providers.local_docker.python_kit import PythonKit
from flow_providers.local_docker.s3fs_kit import S3fsKit
from flow_providers.local_docker.talks import Talks
from flow_providers.local_docker.world import Box, Lookout, World, look_at


class Granting:
    """Makes and starts containers. `find_gpus` tells what GPUs the machine has."""

    def __init__(
        self,
        engine: Engine,
        *,
        images: Images,
        lookout: Lookout,
        talks: Talks,
        wants_own_python: bool,
        find_gpus: Callable[[], Gpus],
    ) -> None:
        self._engine = engine
        self._images = images
        self._lookout = lookout
        self._talks = talks
        self._clearing = Clearing(engine)
        self._limits = Limits(engine)
        self._python = PythonKit(engine, wants_own=wants_own_python)
        self._s3fs = S3fsKit(engine)
        self._find_gpus = find_gpus

    def options_of(self, request: BidRequest) -> dict[str, str]:
        """Return a request's options as a record keeps them, so that they mean the same wherever they are read.

        Raises:
            InvalidRequest: something that it asks for can't be.
        """
        self.asked(request)
        return absolute(request.launch.options)

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

    def grant(
        self, record: Record, world: World, *, waits_s: float = 0.0, delivers: bool = False
    ) -> None:
        """Make and start a bid's containers, unless its image or the GPUs for it are not here yet.

        With `delivers`, what their nodes are asked next goes to their first processes.

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
        python = self._python.ready(record.image)
        s3fs = self._s3fs.ready(record.image) if record.has_buckets else None
        cache = self._cache(about, user) if record.has_environment else ""
        memory, raises_limits = 0, False

        def know() -> None:
            nonlocal memory, raises_limits
            raises_limits = self._limits.may_be_raised(record.image)
            memory = 0 if asked.memory or asked.shm else self._memory()

        # The engine takes its time for either, and needs neither for the other.
        at_once(lambda ask: ask(), (lambda: self._make_network(record), know))
        found = self._gpus_there(record)

        nodes = [
            Node(id=container_name(record, rank), rank=rank, state=NodeState.STARTING)
            for rank in range(record.quantity)
        ]

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
            if python.bind:
                self._talks.join(nodes[rank])
            self._engine.ask("POST", f"{path}/start")
            if not delivers:
                self._talks.end(nodes[rank].id)

        with self._lookout.changing():
            at_once(make, range(record.quantity))
            if record.id not in look_at(self._engine).records:
                self._clearing.remove(record)  # it was ended meanwhile
                return
            if record.gpus and not self._holds_alone(record):
                self._clearing.remove(record)
                return
            at_once(start, range(record.quantity))

    def _memory(self) -> int:
        """Return the engine's memory in bytes."""
        return int(self._engine.ask("GET", "/info")["MemTotal"])

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
        if record.quantity < 2:
            return
        body = {
            "Name": network_name(record),
            "CheckDuplicate": True,
            "Labels": {BID: record.id, MADE: "local-docker"},
        }
        self._engine.ask("POST", "/networks/create", body=body, fine=(409,))


def _age(box: Box) -> tuple[int, str]:
    return int(box["Created"]), str(box["Id"])
