"""The catalog role: how prices moved."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from flow_core.domain.bid import Quote
from flow_core.domain.money import Price
from flow_core.errors import NotFound
from flow_core.ports.catalog import PricePoint
from flow_providers.conformance.bed import Bed, refuses
from flow_providers.conformance.contracts.base import Contract
from flow_providers.conformance.stating import states

_HISTORY = (
    "Return the price from `since` to `until`, oldest first, thinned at the provider's discretion."
)


class CatalogContract(Contract):
    """Everything that `flow_core.ports.catalog.Catalog` promises."""

    @states("catalog.Catalog", "Remembers the market.")
    def test_a_price_change_is_remembered(self, bed: Bed) -> None:
        """A price that a market has had for a while is the last point of its history."""
        set_price = bed.control("set_price", bed.rig.controls.set_price)
        quote = bed.quote()
        bed.place()
        bed.a_while()
        new = max(quote.price, Price.from_cents(1)) * 2
        set_price(quote, new)
        bed.until("the new price in the history", lambda: _history(bed, quote)[-1].price == new)

        assert quote.price in {point.price for point in _history(bed, quote)}

    @states(
        "catalog.PricePoint",
        "What one type cost in one region from `at` until the next point.",
    )
    def test_points_are_of_one_market(self, bed: Bed) -> None:
        """Each point names the type and region asked for, and no two points are of the same time."""
        quote = bed.quote()
        bed.place()
        bed.a_while()
        points = _history(bed, quote)

        assert {(quote.type_id, quote.region)} == {
            (point.type_id, point.region) for point in points
        }
        assert len(points) == len({point.at for point in points})

    @states("catalog.history", _HISTORY)
    def test_history_is_oldest_first_and_ends_in_time(self, bed: Bed) -> None:
        """Points come in order of time, none is later than `until`, and the price at `until` is known."""
        quote = bed.quote()
        bed.place()  # where nothing is live, a pretended time may stand still
        bed.a_while()
        until = bed.now
        points = bed.catalog.history(
            quote.type_id, region=quote.region, since=until - timedelta(hours=1), until=until
        )

        assert points
        assert list(points) == sorted(points, key=lambda point: point.at)
        assert points[-1].at <= until

    @states("catalog.history", "NotFound: the market has no such type in that region.")
    def test_a_market_that_is_not_there_has_no_history(self, bed: Bed) -> None:
        """A type that is nobody's, and a region that is nowhere, raise NotFound."""
        catalog, quote, now = bed.catalog, bed.quote(), bed.now
        nowhere = bed.rig.no_such_id
        hour = timedelta(hours=1)

        refuses(
            NotFound,
            lambda: catalog.history(nowhere, region=quote.region, since=now - hour, until=now),
        )
        refuses(
            NotFound,
            lambda: catalog.history(quote.type_id, region=nowhere, since=now - hour, until=now),
        )


def _history(bed: Bed, quote: Quote) -> Sequence[PricePoint]:
    """Return the last hour of a market."""
    now = bed.now
    return bed.catalog.history(
        quote.type_id, region=quote.region, since=now - timedelta(hours=1), until=now
    )
