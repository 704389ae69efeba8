"""The catalog role: how prices moved. Optional."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from attrs import frozen

if TYPE_CHECKING:
    from flow_core.domain.money import Price


@frozen(kw_only=True)
class PricePoint:
    """What one type cost in one region from `at` until the next point."""

    type_id: str
    region: str
    at: datetime
    price: Price


class Catalog(Protocol):
    """Remembers the market."""

    def history(
        self, type_id: str, *, region: str, since: datetime, until: datetime
    ) -> Sequence[PricePoint]:
        """Return the price from `since` to `until`, oldest first, thinned at the provider's discretion.

        Raises:
            NotFound: the market has no such type in that region.
        """
        ...
