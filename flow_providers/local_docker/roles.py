"""The local Docker provider's roles, put together over one engine. Nothing is asked of the engine yet."""

from __future__ import annotations

from pathlib import Path

from attrs import frozen

from flow_core.ports.clock import Clock
from flow_providers.local_docker import gpus
from flow_providers.local_docker.ended import Ended
from flow_providers.local_docker.engine import Engine
from flow_providers.local_docker.estate import Estate
from flow_providers.local_docker.fleet import DockerFleet
from flow_providers.local_docker.gpus import Gpus
from flow_providers.local_docker.images import Images
from flow_providers.local_docker.kept_logs import KeptLogs
from flow_providers.local_docker.leftovers import DockerLeftovers
from flow_providers.local_docker.logs import DockerLogs
from flow_providers.local_docker.market import DockerMarket
from flow_providers.local_docker.python_kit import PythonKit
from flow_providers.local_docker.talks import Talks
from flow_providers.local_docker.volumes import DockerVolumes


@frozen(kw_only=True)
class Roles:
    """All roles but the shell."""

    market: DockerMarket
    fleet: DockerFleet
    logs: DockerLogs
    volumes: DockerVolumes
    leftovers: DockerLeftovers


def open_roles(
    engine: Engine,
    talks: Talks,
    *,
    state: Path,
    clock: Clock,
    host: str,
    image: str,
    pretended: Gpus | None,
    wants_own_python: bool,
) -> Roles:
    """Return the roles; `state` is where this machine keeps what it knows of the engine.

    `host` is the setting of that name, `image` that of tasks that name none. `pretended` are GPUs that are said to be
    there, whatever is.
    """

    def find_gpus() -> Gpus:
        if pretended is not None:
            return pretended
        return gpus.found() if engine.address.is_here else Gpus()

    images = Images(
        engine, folder=state / "images", clock=clock, default=image, settings={"host": host}
    )
    logs = DockerLogs(
        engine, talks, KeptLogs(state / "logs"), look=lambda: estate.look(grant=False).held()
    )
    estate = Estate(
        engine,
        clock=clock,
        ended=Ended(state / "ended"),
        images=images,
        python=PythonKit(engine, wants_own=wants_own_python),
        find_gpus=find_gpus,
        before_end=logs.keep,
    )
    return Roles(
        market=DockerMarket(engine, estate, clock=clock, find_gpus=find_gpus),
        fleet=DockerFleet(estate),
        logs=logs,
        volumes=DockerVolumes(engine, estate, clock=clock),
        leftovers=DockerLeftovers(engine, estate, clock=clock),
    )
