"""The catalog role: how prices moved."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from flow_core.errors import NotFound
from flow_core.ports.catalog import PricePoint
from flow_providers.mithril import wire
from flow_providers.mithril.client import Client
from flow_providers.mithril.encoding import dollars, instant
from flow_providers.mithril.offers import Offers

#: The most samples a history may have. Source: the service's OpenAPI, `num_samples`.
SAMPLES = 1_000


class MithrilCatalog:
    """Implements `ports.catalog.Catalog` over /v2/pricing/history."""

    def __init__(self, client: Client, *, offers: Offers) -> None:
        self._client = client
        self._offers = offers

    def history(
        self, type_id: str, *, region: str, since: datetime, until: datetime
    ) -> Sequence[PricePoint]:
        """See `Catalog.history`; samples that hold no price are left out."""
        told = self._client.read(
            "read price history",
            wire.PriceHistories,
            "/v2/pricing/history",
            {
                "instance_types": type_id,
                "region": region,
                "num_samples": SAMPLES,
                "start_time": instant(since),
                "end_time": instant(until),
            },
        )
        ours = [
            each
            for each in told.series
            if each.instance_type == type_id and each.region in ("", region)
        ]
        if not ours and not self._offers.has_market(type_id, region):
            raise NotFound(
                f"{region} has no market of type {type_id}",
                hint="`flow price` lists what is on offer, and where",
            )
        points: dict[datetime, PricePoint] = {}
        for series in ours:
            for at, price in zip(series.timestamps, series.spot_prices, strict=False):
                if at <= until and (point := _point(type_id, region, at, price)) is not None:
                    points[at] = point
        return [points[at] for at in sorted(points)]


def _point(type_id: str, region: str, at: datetime, price: object) -> PricePoint | None:
    try:
        return PricePoint(type_id=type_id, region=region, at=at, price=dollars(price))
    except ValueError:
        return None
