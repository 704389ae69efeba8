"""The images role: what nodes boot from. Optional."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from flow_core.domain.kept import BootImage


class Images(Protocol):
    """Lists boot images."""

    def images(self) -> Sequence[BootImage]:
        """Return the images that new nodes can boot, the default first, then by name; may be repeated."""
        ...
