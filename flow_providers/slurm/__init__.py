"""An existing Slurm cluster as a provider: a bid is a batch allocation. Nothing heavy is imported before `connect`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flow_core.ports.provider import Provider, ProviderContext


def connect(context: ProviderContext) -> Provider:
    """Return the provider over the cluster that settings name; nothing is asked of it yet.

    Raises:
        Misconfigured: a setting that it takes can't be.
    """
    from flow_providers.slurm.connecting import connect as connected

    return connected(context)
