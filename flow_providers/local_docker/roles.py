"""The local Docker provider's roles over one engine, each made with its first use: few commands need them all."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from flow_adapters.later import Once
from flow_core.ports.clock import Clock
from flow_providers.local_docker.ended import Ended
from flow_providers.local_docker.engine import Engine
from flow_providers.local_docker.estate import Estate
from flow_providers.local_docker.images import Images
from flow_providers.local_docker.labels import Record
from flow_providers.local_docker.talks import Talks
from flow_providers.local_docker.world import Box, Lookout

if TYPE_CHECKING:
    from flow_providers.local_docker.fleet import DockerFleet
    from flow_providers.local_docker.gpus import Gpus
    from flow_providers.local_docker.granting import Granting
    from flow_providers.local_docker.leftovers import DockerLeftovers
    from flow_providers.local_docker.logs import DockerLogs
    from flow_providers.local_docker.market import DockerMarket
    from flow_providers.local_docker.volumes import DockerVolumes


class Roles:
    """All roles but the shell. Nothing is asked of the engine before one of them is."""

    def __init__(
        self,
        engine: Engine,
        talks: Talks,
        *,
        state: Path,
        clock: Clock,
        host: str,
        image: str,
        pretended: Gpus | None,
        wants_own_python: bool,
    ) -> None:
        """Take what the settings say; `state` is where this machine keeps what it knows of the engine.

        `host` is the setting of that name, `image` that of tasks that name none. `pretended` are GPUs that are said to
        be there, whatever is.
        """
        self._engine = engine
        self._talks = talks
        self._state = state
        self._clock = clock
        self._pretended = pretended
        self._wants_own_python = wants_own_python
        self._lookout = Lookout(engine)
        self._ended = Ended(state / "ended")
        self._images = Images(
            engine, folder=state / "images", clock=clock, default=image, settings={"host": host}
        )
        self._estate = Estate(
            engine,
            clock=clock,
            ended=self._ended,
            images=self._images,
            lookout=self._lookout,
            granting=Once(self._opened_granting),
            before_end=self._keep_log,
        )

    @cached_property
    def market(self) -> DockerMarket:
        """Bids."""
        from flow_providers.local_docker.market import DockerMarket

        return DockerMarket(
            self._engine, self._estate, clock=self._clock, find_gpus=self._found_gpus
        )

    @cached_property
    def fleet(self) -> DockerFleet:
        """Their containers."""
        from flow_providers.local_docker.fleet import DockerFleet

        return DockerFleet(self._estate)

    @cached_property
    def logs(self) -> DockerLogs:
        """What ran there."""
        from flow_providers.local_docker.kept_logs import KeptLogs
        from flow_providers.local_docker.logs import DockerLogs

        return DockerLogs(
            self._engine,
            self._talks,
            KeptLogs(self._state / "logs"),
            look=lambda: self._estate.look(grant=False).held(),
            now=self._clock.now,
        )

    @cached_property
    def volumes(self) -> DockerVolumes:
        """Disks that stay."""
        from flow_providers.local_docker.volumes import DockerVolumes

        return DockerVolumes(self._engine, self._estate, clock=self._clock)

    @cached_property
    def leftovers(self) -> DockerLeftovers:
        """What is nobody's any more."""
        from flow_providers.local_docker.leftovers import DockerLeftovers

        return DockerLeftovers(self._engine, self._estate, clock=self._clock)

    def _keep_log(self, record: Record, box: Box) -> None:
        self.logs.keep(record, box)

    def _found_gpus(self) -> Gpus:
        from flow_providers.local_docker import gpus

        if self._pretended is not None:
            return self._pretended
        return gpus.found() if self._engine.address.is_here else gpus.Gpus()

    def _opened_granting(self) -> Granting:
        from flow_providers.local_docker.granting import Granting

        return Granting(
            self._engine,
            images=self._images,
            lookout=self._lookout,
            talks=self._talks,
            wants_own_python=self._wants_own_python,
            find_gpus=self._found_gpus,
        )
