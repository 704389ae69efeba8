"""Taking away what a bid has at the engine; all of it may be repeated, and what is gone already is fine."""

from __future__ import annotations

from flow_adapters.at_once import at_once
from flow_core.errors import Conflict
from flow_providers.local_docker.engine import Engine
from flow_providers.local_docker.labels import Record, container_name, network_name


class Clearing:
    """Removes containers, networks and the volumes that are records."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def unwrite(self, volume: str) -> None:
        """Remove a volume that is a record, or a mark."""
        self._engine.ask("DELETE", f"/volumes/{volume}", query={"force": "true"}, fine=(404,))

    def drop(self, name: str) -> None:
        """Remove a container by name or id; return when it is gone."""
        path, query = f"/containers/{name}", {"force": "true", "v": "true"}
        try:
            self._engine.ask("DELETE", path, query=query, fine=(404,))
        except Conflict:  # someone else removes it at this moment
            self._engine.ask("POST", f"{path}/wait", query={"condition": "removed"}, fine=(404,))

    def remove(self, record: Record) -> None:
        """Remove a bid's containers, which ends all that runs in them, and its network."""
        names = [container_name(record, rank) for rank in range(record.quantity)]
        at_once(self.drop, names)
        if record.quantity > 1:
            self._engine.ask("DELETE", f"/networks/{network_name(record)}", fine=(403, 404))
