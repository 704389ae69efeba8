"""What the cluster has, asked for at most every half minute: its offers, and its nodes' addresses."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from flow_providers.slurm.estate import Estate
from flow_providers.slurm.offers import (
    NodeFacts,
    Offer,
    Partition,
    offers_of,
    read_nodes,
    read_partitions,
)

#: Real seconds for which an answer is good; what it costs the controller grows with the cluster.
FRESH_S = 30.0


@frozen(kw_only=True)
class Cluster:
    """The cluster at one look."""

    offers: tuple[Offer, ...]
    partitions: tuple[Partition, ...]
    nodes: Mapping[str, NodeFacts]
    folder: str
    asked_at: float


class Surveyor:
    """Keeps the last look; threads may share it. `names` are GPU families by the cluster's own types."""

    def __init__(self, estate: Estate, *, names: Mapping[str, str]) -> None:
        self._estate = estate
        self._names = names
        self._lock = threading.Lock()
        self._found: Cluster | None = None

    def look(self, *, within_s: float = FRESH_S) -> Cluster:
        """Return the cluster as it was no longer ago than this."""
        with self._lock:
            found = self._found
            if found is None or time.monotonic() - found.asked_at > within_s:
                found = self._found = self._read(self._estate.read("cluster"))
            return found

    def about(self) -> Mapping[str, Any]:
        """Return which Slurm this is (`version`), as what `user`, and what runs `images`; asked each time."""
        return self._estate.read("about")

    def _read(self, told: Mapping[str, Any]) -> Cluster:
        nodes, partitions = read_nodes(told["nodes"]), read_partitions(told["partitions"])
        return Cluster(
            offers=tuple(offers_of(nodes, partitions, names=self._names)),
            partitions=tuple(partitions),
            nodes={node.name: node for node in nodes},
            folder=told["folder"],
            asked_at=time.monotonic(),
        )
