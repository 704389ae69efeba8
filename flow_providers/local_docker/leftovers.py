"""The leftovers role: caches that no container uses, and what killed processes left half done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from flow_core.errors import Conflict, InUse
from flow_core.ports.clock import Clock
from flow_core.ports.leftovers import Leftover
from flow_providers.local_docker.engine import Engine
from flow_providers.local_docker.estate import Estate
from flow_providers.local_docker.images import BUILT
from flow_providers.local_docker.labels import BID, CACHE, CARRIED, LIMITS, MADE, VOLUME

_HELD = {"filters": {"label": [MADE]}}
_GB = 1e9
#: What is added to a volume's name for the mark that all is in it.
_FULL = "-full"
#: Seconds after which a container that should live for some is left of a process that was killed.
_AT_WORK_S = 300.0


class DockerLeftovers:
    """Implements `ports.leftovers.Leftovers`; an id is the kind and the name of what it is, such as `volumes/NAME`."""

    def __init__(self, engine: Engine, estate: Estate, *, clock: Clock) -> None:
        self._engine = engine
        self._estate = estate
        self._clock = clock

    def leftovers(self) -> Sequence[Leftover]:
        """See `Leftovers.leftovers`; what bids left half done is finished first, by the look at them."""
        live = self._estate.look().held()
        boxes = self._engine.ask("GET", "/containers/json", query={"all": "true"})
        return [
            *self._helpers(boxes),
            *self._networks(live),
            *self._volumes(live, boxes),
            *self._images(boxes),
        ]

    def remove(self, leftover: Leftover) -> None:
        """See `Leftovers.remove`."""
        marked = [f"{leftover.id}{_FULL}"] if leftover.id.startswith("volumes/") else []
        with suppress(Conflict, InUse):
            for place in [*marked, leftover.id]:
                self._engine.ask("DELETE", f"/{place}", fine=(403, 404))

    def _helpers(self, boxes: Sequence[dict[str, Any]]) -> Iterator[Leftover]:
        """Containers that bring programs, or look whether an image has one: they live for seconds."""
        now = self._clock.now().timestamp()
        for box in boxes:
            if CARRIED in box["Labels"] and now - box["Created"] > _AT_WORK_S:
                yield Leftover(
                    id=f"containers/{box['Id']}", what="a container that brought programs"
                )

    def _networks(self, live: dict[str, Any]) -> Iterator[Leftover]:
        for each in self._engine.ask("GET", "/networks", query=_HELD):
            bid = (each.get("Labels") or {}).get(BID)
            if bid is not None and bid not in live:
                yield Leftover(
                    id=f"networks/{each['Name']}", what=f"the network of bid {bid}, which is gone"
                )

    def _volumes(self, live: dict[str, Any], boxes: Sequence[dict[str, Any]]) -> Iterator[Leftover]:
        used = {mount.get("Name") for box in boxes for mount in box.get("Mounts", ())}
        found = self._engine.ask("GET", "/volumes", query=_HELD)["Volumes"] or []
        names = {each["Name"] for each in found}
        for each in found:
            name, labels = each["Name"], each["Labels"]
            place, whole = f"volumes/{name}", name.removesuffix(_FULL)
            if VOLUME in labels or used & {name, whole} or (whole != name and whole in names):
                continue
            if CARRIED in labels:
                what = f"programs brought for containers ({name})"
                yield Leftover(id=place, what=what, is_kept=True)
            elif LIMITS in labels:
                what = f"what is known of this engine's limits ({name})"
                yield Leftover(id=place, what=what, is_kept=True)
            elif CACHE in labels:
                yield Leftover(
                    id=place, what=f"environments made in {labels[CACHE]} ({name})", is_kept=True
                )
            elif BID in labels and labels[BID] not in live:
                yield Leftover(id=place, what=f"the mark of bid {labels[BID]}, which is gone")

    def _images(self, boxes: Sequence[dict[str, Any]]) -> Iterator[Leftover]:
        """Images that Flow built and nothing was made from; labels alone would tell those built upon ours too."""
        used = {box["ImageID"] for box in boxes}
        for each in self._engine.ask("GET", "/images/json", query=_HELD):
            for tag in each.get("RepoTags") or ():
                if BUILT.fullmatch(tag) and each["Id"] not in used:
                    what = f"an image built from a Dockerfile ({tag}, {each['Size'] / _GB:.1f} GB)"
                    yield Leftover(id=f"images/{tag}", what=what, is_kept=True)
