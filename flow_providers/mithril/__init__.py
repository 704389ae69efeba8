"""Mithril: its REST API as a provider. Nothing heavy is imported before `connect` is called."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flow_core.ports.provider import Provider, ProviderContext


def connect(context: ProviderContext) -> Provider:
    """Return Mithril as `context` describes it; nothing is asked of it yet.

    Raises:
        Misconfigured: a setting that it takes can't be.
    """
    from flow_providers.mithril.connecting import connect as connected

    return connected(context)
