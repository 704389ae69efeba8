"""Docker on this machine as a provider: every instance is a container. Nothing heavy is imported before `connect`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flow_core.ports.provider import Provider, ProviderContext


def connect(context: ProviderContext) -> Provider:
    """Return the provider over the engine that `docker` itself would use; nothing is asked of it yet.

    Raises:
        Misconfigured: a setting that it takes can't be.
    """
    from flow_providers.local_docker.connecting import connect as connected

    return connected(context)
