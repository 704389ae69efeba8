"""A bill: what tasks cost within a time, a line each."""

from __future__ import annotations

from attrs import frozen

from flow_core.domain.budget import Usage
from flow_core.domain.money import Price, Spend
from flow_core.domain.shape import InstanceShape


@frozen(kw_only=True)
class BillLine:
    """What one task cost within a time: `node_hours` is nodes times hours held, `stretches` are the prices behind it.

    `is_estimate` says that the provider no longer tells, so that the journal's own sum stands for all of it.
    """

    name: str
    owner: str
    is_live: bool
    shape: InstanceShape | None
    spent: Spend
    node_hours: float
    stretches: tuple[Usage, ...] = ()
    is_estimate: bool = False

    @property
    def mean_price(self) -> Price | None:
        """What an instance cost an hour on average, to the cent; None where nothing was held."""
        if not self.node_hours:
            return None
        return Price(round(self.spent.micros / self.node_hours / 10_000) * 10_000)
