"""What is on offer: instance types, markets, prices now and before, boot images."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from datetime import datetime, timedelta

from flow_core.domain.money import Price
from flow_core.domain.shape import CPU
from flow_providers.mock import bidding
from flow_providers.mock.estate.images import Image, control_plane_images, images
from flow_providers.mock.estate.reserving import unit_price
from flow_providers.mock.http import models
from flow_providers.mock.http.calls import Call, Route
from flow_providers.mock.http.messages import Json, Refused, Response, ok
from flow_providers.mock.http.shapes import many, text, when, whole
from flow_providers.mock.http.wire import cents, dollars
from flow_providers.mock.http.wire import when as written
from flow_providers.mock.past import REACH, past_of
from flow_providers.mock.prices import TYPES
from flow_providers.mock.rows import MarketRow
from flow_providers.mock.volumes import MOST_GB

#: How far back a price history goes unless told (not documented).
BACK = timedelta(days=1)
_CENT = Price.from_cents(1)


def list_types(call: Call) -> Response:
    """Return every instance type that has a market; a name with GPUs that is sold in two regions has two ids."""
    return ok([type_document(market) for market in one_each(call.world.markets.live())])


def one_each(markets: Iterable[MarketRow]) -> list[MarketRow]:
    """Return one market of each type, the first."""
    found: dict[str, MarketRow] = {}
    for market in markets:
        found.setdefault(market.type_id, market)
    return list(found.values())


def type_document(market: MarketRow) -> Json:
    """Write an instance type; what the pretend cloud doesn't invent a value for is empty or nothing."""
    offered = TYPES[market.type_name]
    shape = offered.shape
    is_linked = shape.gpus == 8
    return {
        "fid": market.type_id,
        "name": market.type_name,
        "num_cpus": offered.cpus,
        "cpu_type": "Intel",
        "ram_gb": offered.memory_gb,
        "num_gpus": shape.gpus,
        "gpu_type": "" if shape.gpu == CPU else shape.gpu.upper(),
        "gpu_memory_gb": shape.memory_gb or 0,
        "gpu_socket": "SXM" if ".sxm" in market.type_name else "",
        "local_storage_gb": offered.storage_gb,
        "network_type": "InfiniBand" if is_linked else None,
        "ib_count": 8 if is_linked else 0,
        "bridge_count": 4 if is_linked else 0,
    }


def list_regions(call: Call) -> Response:
    """Return every region that has a market, and what storage it has; called by clients before they make a volume."""
    regions = sorted({market.region for market in call.world.markets.live()})
    return ok([region_document(region) for region in regions])


def region_document(region: str) -> Json:
    """Write a region: each has both kinds of storage, and no Kubernetes of the service's own."""
    return {
        "id": region,
        "name": region,
        "block_storage_enabled": True,
        "fileshare_storage_enabled": True,
        "k8s_enabled": False,
        "max_volume_size_tb": MOST_GB // 1000,
        "max_volume_name_length": 64,
    }


def list_markets(call: Call) -> Response:
    """Return every market with its last price; capacity is what could be granted now."""
    default = images(call.world)[0].id
    return ok(
        [
            {
                "fid": market.id,
                "instance_type": market.type_id,
                "region": market.region,
                "capacity": bidding.free_instances(call.world, market),
                "last_instance_price": dollars(market.price),
                "lowest_allocated_price": dollars(market.lowest_allocated)
                if market.lowest_allocated is not None
                else None,
                "adjustable_memory": False,
                "default_image_version": default,
            }
            for market in call.world.markets.live()
        ]
    )


def show_prices(call: Call) -> Response:
    """Return a market's prices now; without a region, of the cheapest that has the type."""
    asked = call.query
    found = [
        market
        for market in call.world.markets.live()
        if asked["instance_type"] in (market.type_id, market.type_name)
        and asked["region"] in (None, market.region)
    ]
    if not found:
        raise Refused(404, f"Instance type {asked['instance_type']} has no such market")
    market = min(found, key=lambda each: (each.price, each.number))
    free = bidding.free_instances(call.world, market)
    lowest = market.lowest_allocated
    wins = market.price
    if free < asked["instance_quantity"] and lowest is not None:
        wins = max(wins, Price(lowest.micros + _CENT.micros))
    return ok(
        {
            "spot_price_cents": cents(market.price),
            "reserved_price_cents": cents(unit_price(market)),
            "minimum_price_cents": cents(market.floor),
            "lowest_allocated_bid_cents": cents(lowest) if lowest is not None else None,
            "dynamic_win_price_cents": cents(wins),
            "available_capacity": free,
            "total_capacity": market.capacity,
        }
    )


def show_price_history(call: Call) -> Response:
    """Return how prices moved: `num_samples` at even distances, or every change with -1."""
    asked = call.query
    names = [each for each in (asked["instance_types"] or "").split(",") if each]
    found = [
        market
        for market in call.world.markets.live()
        if (not names or market.type_id in names or market.type_name in names)
        and asked["region"] in (None, market.region)
    ]
    end = min(asked["end_time"] or call.now, call.now)
    start = asked["start_time"] or end - BACK
    start = max(start, call.world.meta.born_at - REACH)
    series = [_series(call, market, start, end, asked["num_samples"]) for market in found]
    return ok({"series": series, "complete": True})


def list_images(call: Call) -> Response:
    """Return the images that nodes with GPUs can boot."""
    return ok([_image(call, image) for image in images(call.world)])


def list_control_plane_images(call: Call) -> Response:
    """Return the images that a cluster's control plane can boot in a region."""
    call.region(call.query["region"])
    return ok([_image(call, image) for image in control_plane_images(call.world)])


def _series(call: Call, market: MarketRow, start: datetime, end: datetime, samples: int) -> Json:
    past = past_of(market, call.world.meta, call.rules, since=start)
    changes = [*past, *((row.at, row.price) for row in call.world.prices.of([market.id]))]
    times = [at for at, _ in changes]
    prices = [price for _, price in changes]
    if start > end or samples == 0:
        told: list[datetime] = []
    elif samples < 0:
        told = [start, *(at for at in times if start < at <= end)]
    elif samples == 1:
        told = [end]
    else:
        told = [start + (end - start) * place / (samples - 1) for place in range(samples)]
    reserved = dollars(unit_price(market))
    return {
        "instance_type": market.type_id,
        "region": market.region,
        "timestamps": [written(at) for at in told],
        "spot_prices": [dollars(prices[max(bisect_right(times, at) - 1, 0)]) for at in told],
        "reserved_prices": [reserved for _ in told],
        "region_disabled": False,
    }


def _image(call: Call, image: Image) -> Json:
    regions = sorted({market.region for market in call.world.markets.live()})
    return {
        "image_version_fid": image.id,
        "image_version_name": image.name,
        "os": image.os,
        "kernel": image.kernel,
        "stable": image.is_stable,
        "supported_regions": regions,
        "deactivated_at": None,
        "nvidia_driver": image.driver,
        "cuda": image.cuda,
        "cuda_toolkit": image.cuda,
        "nvidia_container_toolkit": None,
        "packages": None,
    }


ROUTES = (
    Route(
        method="GET", path="/marketplace/v1/regions", summary="List regions.", answer=list_regions,
        replies={200: many(models.REGION)}, beyond=True,
    ),
    Route(
        method="GET", path="/v2/instance-types", summary="List instance types.", answer=list_types,
        method_name="quotes", replies={200: many(models.TYPE)},
    ),
    Route(
        method="GET", path="/v2/spot/availability", summary="List markets.", answer=list_markets,
        method_name="quotes", replies={200: many(models.AUCTION)},
    ),
    Route(
        method="GET", path="/v2/pricing/current", summary="Read a market's prices.", answer=show_prices,
        method_name="quotes", replies={200: models.CURRENT_PRICES}, required=("instance_type",),
        errors=(404,),
        query={
            "instance_type": text(), "region": text(),
            "instance_quantity": whole(least=1, most=256, default=1),
        },
    ),
    Route(
        method="GET", path="/v2/pricing/history", summary="Read prices over time.",
        answer=show_price_history, method_name="history", replies={200: models.PRICE_HISTORY},
        query={
            "instance_types": text(), "region": text(),
            "num_samples": whole(least=-1, most=1000, default=100), "start_time": when(),
            "end_time": when(),
        },
    ),
    Route(
        method="GET", path="/v2/image-versions", summary="List boot images.", answer=list_images,
        replies={200: many(models.IMAGE)},
    ),
    Route(
        method="GET", path="/v2/mcc-image-versions", summary="List images of control planes.",
        answer=list_control_plane_images, replies={200: many(models.IMAGE)}, query={"region": text()},
        required=("region",), errors=(404,),
    ),
)  # fmt: skip
