"""What the engine holds of Flow's bids at one moment: their records, their containers, and what is being taken away."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

from attrs import field, frozen

from flow_core.domain.bid import BidState
from flow_providers.local_docker.engine import Engine
from flow_providers.local_docker.labels import BID, ENDED, RANK, Record, read_record

Box = dict[str, Any]
#: Seconds for which a look is as good as another, unless this process changed something meanwhile.
FRESH_S = 0.02


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


class Lookout:
    """Looks at the engine, and not anew for whoever asks in the same breath: after a bid, its nodes and its logs."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._at = 0.0
        self._last: World | None = None

    def world(self) -> World:
        """Return what there is, or was at most a fiftieth of a second ago."""
        with self._lock:
            if self._last is None or monotonic() - self._at > FRESH_S:
                self._last = look_at(self._engine)
                self._at = monotonic()
            return self._last

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Have the next look after this be at what there is then."""
        try:
            yield
        finally:
            with self._lock:
                self._last = None


def look_at(engine: Engine) -> World:
    """Return what the engine holds now."""
    # Containers first: a record is there before its containers, so that one without is nobody's, for sure.
    query = {"filters": {"label": [BID]}}
    boxes = engine.ask("GET", "/containers/json", query={**query, "all": "true"})
    volumes = engine.ask("GET", "/volumes", query=query)["Volumes"] or []
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
