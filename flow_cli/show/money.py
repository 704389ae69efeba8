"""Prices as sentences say them: per instance, for all of them, per GPU."""

from __future__ import annotations

from flow_core.domain.money import Price
from flow_core.domain.shape import InstanceShape


def gpu_rate(price: Price, shape: InstanceShape | None) -> str:
    """Return an instance's price as one GPU's share: '$12.29/h100-hr'; per instance where there is no GPU."""
    if shape is None or shape.gpus == 0:
        return f"{price}/hr"
    return f"{price.per(shape.gpus)}/{shape.gpu}-hr"


def price_words(limit: Price, shape: InstanceShape | None, count: int, *, simulated: bool) -> str:
    """Return a limit in full: per instance, the total for several, and per GPU."""
    words = f"{limit}/hr per instance"
    if count > 1:
        words += f", {limit * count}/hr for {count}"
    if shape is not None and shape.gpus > 1:
        words += f" ({gpu_rate(limit, shape)})"
    return words + (" · simulated" if simulated else "")
