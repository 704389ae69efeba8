"""Mithril's JSON as values. The wire's words stop here; only `client.py` and this folder's roles see these classes.

What is read is what is needed: unknown fields are passed over, an absent field and a null are the same, enumerations
stay text and are told apart by the roles, so that a word from next year crashes nothing. A body that lacks what makes
sense of it (an id, a limit) is no answer at all: `Unreadable`.

Money has three encodings: text in dollars ("$25.60"), whole cents, and numbers in dollars. Fields of the first and the
third kind have the type `Price` here, those of the second end in `_cents`. Source: contract section 1, the OpenAPI.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

import attrs
import cattrs
from attrs import field, frozen
from cattrs.gen import make_dict_structure_fn

from flow_core.domain.money import Price, Spend
from flow_providers.mithril.encoding import dollars, spend, text, when, whole


class Unreadable(ValueError):
    """A body that lacks what makes sense of it."""


@frozen(kw_only=True)
class Project:
    """One of GET /v2/projects."""

    fid: str
    name: str = ""


@frozen(kw_only=True)
class Me:
    """GET /v2/me, and one of GET /v2/me/teammates."""

    fid: str
    email: str | None = None
    user_name: str | None = None


@frozen(kw_only=True)
class ApiKey:
    """One of GET /v2/api-keys; revoked ones are among them."""

    fid: str
    name: str = ""
    expires_at: datetime | None = None
    deactivated_at: datetime | None = None


@frozen(kw_only=True)
class NewApiKey:
    """POST /v2/api-keys: the only answer that has the secret."""

    fid: str
    secret: str = field(repr=False)
    expires_at: datetime | None = None


@frozen(kw_only=True)
class InstanceType:
    """One of GET /v2/instance-types."""

    fid: str
    name: str = ""
    num_cpus: int | None = None
    ram_gb: int | None = None
    num_gpus: int | None = None
    gpu_type: str | None = None
    gpu_memory_gb: int | None = None


@frozen(kw_only=True)
class Auction:
    """One of GET /v2/spot/availability: a market, that is an instance type in a region."""

    instance_type: str
    region: str
    capacity: int | None = None
    last_instance_price: Price | None = None
    lowest_allocated_price: Price | None = None


@frozen(kw_only=True)
class CurrentPrices:
    """GET /v2/pricing/current; all in cents, any may be null."""

    spot_price_cents: int | None = None
    minimum_price_cents: int | None = None
    available_capacity: int | None = None
    total_capacity: int | None = None


@frozen(kw_only=True)
class PriceSeries:
    """One market's part of GET /v2/pricing/history; prices are text in a form the documents don't show."""

    instance_type: str
    region: str = ""
    timestamps: list[datetime] = field(factory=list)
    spot_prices: list[Any] = field(factory=list)


@frozen(kw_only=True)
class PriceHistories:
    """GET /v2/pricing/history."""

    series: list[PriceSeries] = field(factory=list)


@frozen(kw_only=True)
class Bid:
    """A spot bid, without its startup script."""

    fid: str
    name: str
    status: str
    created_at: datetime
    limit_price: Price
    instance_quantity: int
    instance_type: str = ""
    region: str | None = None
    created_by: str | None = None
    deactivated_at: datetime | None = None
    instances: list[str] = field(factory=list)


@frozen(kw_only=True)
class LaunchSpecification:
    """What an order's instances start with, as far as it is read back."""

    startup_script: str = ""
    volumes: list[str] = field(factory=list)


@frozen(kw_only=True)
class WholeBid(Bid):
    """A bid with its startup script and volumes, as GET /v2/spot/bids/{fid} tells it."""

    launch_specification: LaunchSpecification = field(factory=LaunchSpecification)


@frozen(kw_only=True)
class Instance:
    """One of GET /v2/instances."""

    fid: str
    status: str
    name: str = ""
    created_at: datetime | None = None
    bid: str | None = None
    reservation: str | None = None
    ssh_destination: str | None = None
    private_ip: str | None = None


@frozen(kw_only=True)
class InstanceStatus:
    """GET /v2/instances/{fid}/status and GET /v2/spot/bids/{fid}/status; the latter has no end_time."""

    status: str
    end_time: datetime | None = None


@frozen(kw_only=True)
class StatusEvent:
    """When an instance came to have a status."""

    timestamp: datetime
    status: str


@frozen(kw_only=True)
class StatusHistory:
    """One instance's part of GET /v2/instances/status/history."""

    instance_fid: str
    events: list[StatusEvent] = field(factory=list)
    bid_fid: str | None = None


@frozen(kw_only=True)
class PriceEvent:
    """A stretch in which an instance had a price; one without end goes on."""

    price_cents: int
    start_time: datetime
    end_time: datetime | None = None


@frozen(kw_only=True)
class PriceHistory:
    """One instance's part of GET /v2/instances/pricing/history."""

    instance_fid: str
    events: list[PriceEvent] = field(factory=list)
    bid_fid: str | None = None


@frozen(kw_only=True)
class Volume:
    """One of GET /v2/volumes; creating one has other names for size and interface."""

    fid: str
    name: str
    region: str
    created_at: datetime
    capacity_gb: int
    interface: str
    deleted_at: datetime | None = None
    bids: list[str] = field(factory=list)
    reservations: list[str] = field(factory=list)


@frozen(kw_only=True)
class SshKey:
    """An SSH key; `private_key` only in the answer that created one without a public key."""

    fid: str
    name: str
    public_key: str = ""
    created_at: datetime | None = None
    required: bool | None = None
    private_key: str | None = field(default=None, repr=False)


@frozen(kw_only=True)
class Quota:
    """One of GET /v2/quotas."""

    fid: str
    product_type: str
    total_quantity: int
    used_quantity: int
    units: str = ""
    name: str = ""
    instance_type: str | None = None


@frozen(kw_only=True)
class Script:
    """One of GET /v2/lifecycle-scripts, without its text."""

    fid: str
    name: str = ""
    description: str = ""
    scope: str = ""
    created_at: datetime | None = None
    last_modified_at: datetime | None = None


@frozen(kw_only=True)
class Image:
    """One of GET /v2/image-versions, whose id has a name of its own."""

    image_version_fid: str
    image_version_name: str
    os: str = ""
    kernel: str = ""
    stable: bool = False
    supported_regions: list[str] = field(factory=list)
    deactivated_at: datetime | None = None
    nvidia_driver: str | None = None
    cuda: str | None = None


@frozen(kw_only=True)
class Offer:
    """One offer of GET /v2/reservation/quote."""

    key: str
    unit_price: Price
    total_price: Spend
    display_name: str = ""
    pause_buyback_price: Price | None = None
    return_buyback_price: Price | None = None


@frozen(kw_only=True)
class Quoted:
    """GET /v2/reservation/quote."""

    offers: list[Offer]


@frozen(kw_only=True)
class Reservation:
    """A reservation, without its startup script."""

    fid: str
    name: str
    status: str
    created_at: datetime
    start_time: datetime
    end_time: datetime
    instance_quantity: int
    unit_price: Price
    total_price: Spend
    instance_type: str = ""
    region: str | None = None
    created_by: str | None = None
    instances: list[str] = field(factory=list)


@frozen(kw_only=True)
class Extension:
    """GET /v2/reservation/{fid}/extension-availability."""

    latest_extension_time: datetime
    available: bool


@frozen(kw_only=True)
class Terminated:
    """The answer 207 of POST /v2/reservation/{fid}/terminate-instances: what did go."""

    terminated_instances: list[str] = field(factory=list)


Kind = TypeVar("Kind")


def read(kind: type[Kind], data: object) -> Kind:
    """Return `data` as a value of one of the classes above.

    Raises:
        Unreadable: something that the class can't be without is missing or of another kind.
    """
    try:
        return _CONVERTER.structure(data, kind)
    except (cattrs.BaseValidationError, KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise Unreadable(
            f"it holds no readable {kind.__name__.lower()} ({type(error).__name__}: {error})"
        ) from error


def _converter() -> cattrs.Converter:
    made = cattrs.Converter(detailed_validation=False)
    made.register_structure_hook(datetime, lambda value, _: when(value))
    made.register_structure_hook(Price, lambda value, _: dollars(value))
    made.register_structure_hook(Spend, lambda value, _: spend(value))
    made.register_structure_hook(int, lambda value, _: whole(value))
    # A truth is a whole number to Python, so that it needs a reader of its own.
    made.register_structure_hook(bool, lambda value, _: bool(value))
    made.register_structure_hook(str, lambda value, _: text(value))
    made.register_structure_hook_factory(
        lambda kind: attrs.has(kind) and kind not in (Price, Spend),
        lambda kind: _without_nulls(make_dict_structure_fn(kind, made)),
    )
    return made


def _without_nulls(structure: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Have nulls count as absent, so that both become the field's default."""

    def structured(data: Any, kind: Any) -> Any:
        if not isinstance(data, Mapping):
            raise TypeError(f"{type(data).__name__} is no object")
        return structure({key: value for key, value in data.items() if value is not None}, kind)

    return structured


_CONVERTER = _converter()
