"""Connecting to an engine: settings in, a `Provider` out. Its roles load with the first use of one.

A command that only enters a container so loads little. Nothing is asked of the engine yet.

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
from typing import TYPE_CHECKING

from flow_adapters.later import Once, later
from flow_core.errors import Misconfigured
from flow_core.ports.provider import Provider, ProviderContext
from flow_providers.local_docker.address import find_address
from flow_providers.local_docker.engine import Engine
from flow_providers.local_docker.execs import Execs
from flow_providers.local_docker.facts import IMAGE, NAME, YES, limits
from flow_providers.local_docker.shell import DockerShell
from flow_providers.local_docker.talks import Talks

if TYPE_CHECKING:
    from flow_core.ports.market import Market
    from flow_providers.local_docker.gpus import Gpus
    from flow_providers.local_docker.roles import Roles


def connect(context: ProviderContext, *, environ: Mapping[str, str] | None = None) -> Provider:
    """Return the provider over the engine that settings and `environ` name.

    Raises:
        Misconfigured: a setting can't be.
    """
    host = _text(context, "host")
    address = find_address(os.environ if environ is None else environ, said=host)
    engine = Engine(address)
    execs = Execs(engine, context.clock)
    talks = Talks(execs)
    pretended = _pretended(context)
    wants_own_python = not _wants_images_python(context)

    def opened() -> Roles:
        from flow_providers.local_docker.roles import Roles

        return Roles(
            engine,
            talks,
            state=Path(context.state_dir) / NAME / address.key,
            clock=context.clock,
            host=host or "",
            image=_text(context, "image") or IMAGE,
            pretended=pretended,
            wants_own_python=wants_own_python,
        )

    whole = Once(opened)

    def offers(options: Mapping[str, str]) -> Market:
        market = whole().market
        return market.pretending() if options.get("pretend_gpus") in YES else market

    def in_all() -> str:
        return whole().market.in_all()

    return Provider(
        name=NAME,
        market=later(lambda: whole().market),
        offers=offers,
        in_all=in_all,
        leftovers=later(lambda: whole().leftovers),
        fleet=later(lambda: whole().fleet),
        shell=DockerShell(execs, talks),
        clock=context.clock,
        logs=later(lambda: whole().logs),
        volumes=later(lambda: whole().volumes),
        limits=limits(),
    )


def _pretended(context: ProviderContext) -> Gpus | None:
    shape = _text(context, "pretend_gpus")
    if not shape:
        return None
    from flow_providers.local_docker import gpus

    return gpus.pretended(shape)


def _text(context: ProviderContext, name: str) -> str | None:
    """Return a setting of ours by its full name; short ones, such as `image`, may be someone else's."""
    value = context.options.get(f"{NAME}.{name}")
    return str(value).strip() or None if value is not None else None


def _wants_images_python(context: ProviderContext) -> bool:
    value = _text(context, "python") or "own"
    if value not in ("own", "image"):
        raise Misconfigured(f"local-docker.python is {value!r}; it can be own or image")
    return value == "image"
