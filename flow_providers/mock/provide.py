"""A provider record over an engine."""

from __future__ import annotations

from flow_core.ports.clock import Clock
from flow_core.ports.provider import Limits, Provider
from flow_core.ports.shell import RemoteShell
from flow_providers.mock.engine import Engine
from flow_providers.mock.fleet import PretendFleet
from flow_providers.mock.history import PretendAccount, PretendCatalog, PretendUsage
from flow_providers.mock.logs import PretendLogs
from flow_providers.mock.market import PretendMarket
from flow_providers.mock.volumes import PretendVolumes

NAME = "mock"
#: The task options that the pretend cloud understands; see `ports.provider.Limits.options`.
OPTIONS = {"mount_links": "where mounts can't be made, give links below $FLOW_MOUNTS (yes or no)"}


def provider(engine: Engine, *, shell: RemoteShell, clock: Clock, limits: Limits) -> Provider:
    """Return the provider whose every role is played by `engine`, but for the shell."""
    return Provider(
        name=NAME,
        market=PretendMarket(engine),
        fleet=PretendFleet(engine),
        shell=shell,
        clock=clock,
        limits=limits,
        logs=PretendLogs(engine),
        volumes=PretendVolumes(engine),
        account=PretendAccount(engine),
        usage=PretendUsage(engine),
        catalog=PretendCatalog(engine),
    )
