"""How often to look again: soon at first, then less and less, never less than the provider finds worth it."""

from __future__ import annotations

from collections.abc import Iterator

FIRST_S = 0.03
GROWTH = 1.6


def intervals(poll_s: float) -> Iterator[float]:
    """Yield the real seconds to let pass between looks, for ever; they grow from 30 ms to `poll_s`."""
    wait = min(FIRST_S, poll_s)
    while True:
        yield wait
        wait = min(wait * GROWTH, poll_s)
