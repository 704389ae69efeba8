"""Putting the local Docker provider together: settings in, a `Provider` out. Nothing is asked of the engine yet.

Settings, each with `local-docker.` before it:

    host              the engine's address, as DOCKER_HOST has it
    image             the image of tasks that name none (python:3.12-slim)
    pretend_gpus      a shape such as 8xh100 that this machine pretends to have, to try GPU tasks
    python            image: have Flow's helper use the image's own python3, not one that Flow brings
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from flow_core.domain.task_parts import Source
from flow_core.errors import Misconfigured
from flow_core.ports.provider import Limits, Provider, ProviderContext
from flow_providers.local_docker import gpus
from flow_providers.local_docker.address import find_address
from flow_providers.local_docker.asked import OPTIONS
from flow_providers.local_docker.containers import WORKSPACE
from flow_providers.local_docker.ended import Ended
from flow_providers.local_docker.engine import Engine
from flow_providers.local_docker.estate import Estate
from flow_providers.local_docker.execs import Execs
from flow_providers.local_docker.fleet import DockerFleet
from flow_providers.local_docker.gpus import Gpus
from flow_providers.local_docker.images import Images
from flow_providers.local_docker.kept_logs import KeptLogs
from flow_providers.local_docker.labels import YES
from flow_providers.local_docker.leftovers import DockerLeftovers
from flow_providers.local_docker.logs import DockerLogs
from flow_providers.local_docker.market import DockerMarket
from flow_providers.local_docker.python_kit import PythonKit
from flow_providers.local_docker.shell import DockerShell
from flow_providers.local_docker.talks import Talks
from flow_providers.local_docker.volumes import DockerVolumes

NAME = "local-docker"
#: Small, and with what most first tasks want. Source: its page on Docker Hub.
IMAGE = "python:3.12-slim"
#: Docker passes a script in one variable, and Linux takes 131,072 bytes for one.
SCRIPT_CHARS = 100_000


def connect(context: ProviderContext, *, environ: Mapping[str, str] | None = None) -> Provider:
    """Return the provider over the engine that settings and `environ` name.

    Raises:
        Misconfigured: a setting can't be.
    """
    host = _text(context, "host")
    surroundings = os.environ if environ is None else environ
    address = find_address(surroundings, said=host)
    engine = Engine(address)
    state = Path(context.state_dir) / NAME / address.key
    pretend = _text(context, "pretend_gpus")
    pretended = gpus.pretended(pretend) if pretend else None

    def find_gpus() -> Gpus:
        if pretended is not None:
            return pretended
        return gpus.found() if address.is_here else Gpus()

    images = Images(
        engine,
        folder=state / "images",
        clock=context.clock,
        default=_text(context, "image") or IMAGE,
        settings={"host": host or ""},
    )
    execs = Execs(engine)
    talks = Talks(execs)
    logs = DockerLogs(
        engine, talks, KeptLogs(state / "logs"), look=lambda: estate.look(grant=False).held()
    )
    estate = Estate(
        engine,
        clock=context.clock,
        ended=Ended(state / "ended"),
        images=images,
        python=PythonKit(engine, wants_own=not _wants_images_python(context)),
        find_gpus=find_gpus,
        before_end=logs.keep,
    )
    market = DockerMarket(engine, estate, clock=context.clock, find_gpus=find_gpus)
    return Provider(
        name=NAME,
        market=market,
        offers=lambda options: (
            market.pretending() if options.get("pretend_gpus") in YES else market
        ),
        in_all=market.in_all,
        leftovers=DockerLeftovers(engine, estate, clock=context.clock),
        fleet=DockerFleet(estate),
        shell=DockerShell(execs, talks),
        clock=context.clock,
        logs=logs,
        volumes=DockerVolumes(engine, estate, clock=context.clock),
        limits=Limits(
            poll_s=0.25,
            script_chars=SCRIPT_CHARS,
            mounts=frozenset({Source.VOLUME, Source.HOST, Source.S3}),
            options=OPTIONS,
            workspace=WORKSPACE,
        ),
    )


def _text(context: ProviderContext, name: str) -> str | None:
    """Return a setting of ours by its full name; short ones, such as `image`, may be someone else's."""
    value = context.options.get(f"{NAME}.{name}")
    return str(value).strip() or None if value is not None else None


def _wants_images_python(context: ProviderContext) -> bool:
    value = _text(context, "python") or "own"
    if value not in ("own", "image"):
        raise Misconfigured(f"local-docker.python is {value!r}; it can be own or image")
    return value == "image"
