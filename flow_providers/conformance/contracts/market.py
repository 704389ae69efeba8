"""The market role, whole."""

from __future__ import annotations

from flow_providers.conformance.contracts.bids import BidsContract
from flow_providers.conformance.contracts.changes import ChangesContract
from flow_providers.conformance.contracts.offers import OffersContract


class MarketContract(OffersContract, BidsContract, ChangesContract):
    """Everything that `flow_core.ports.market.Market` promises."""
