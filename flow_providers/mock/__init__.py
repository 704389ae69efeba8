"""The pretend cloud: a spot market in virtual time, whose nodes are processes here or values in memory.

Nothing heavy is imported before it is used: pytest imports this package at its start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flow_core.ports.provider import Provider, ProviderContext
    from flow_providers.mock.pretend import PretendCloud as PretendCloud

__all__ = ["PretendCloud", "connect"]


def connect(context: ProviderContext) -> Provider:
    """Return the pretend cloud whose world lies in `context.state_dir`; see `connecting.connect`."""
    from flow_providers.mock.connecting import connect as connected

    return connected(context)


def __getattr__(name: str) -> object:
    if name == "PretendCloud":
        from flow_providers.mock.pretend import PretendCloud

        return PretendCloud
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
