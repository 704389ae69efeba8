"""The usage role: what was held, when, at what price. Optional; without it cost is estimated from the limit."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from flow_core.domain.budget import Usage


class UsageHistory(Protocol):
    """Knows the stretches of paid time behind each bid."""

    def usage(self, bid_ids: Collection[str]) -> Mapping[str, Sequence[Usage]]:
        """Return each bid's paid stretches in order of time, without overlap, the last open while nodes are held.

        Every id asked for is answered. Time that isn't charged (starting, preempted, paused) is not in it. A stretch
        ends where the price or the number of nodes changed. May be repeated.
        """
        ...
