"""What we read in Mithril's documents about each body: field -> JSON type, '?' where it may be null or absent.

Notes of our own, so that the example bodies are held to something where the service's document is not at hand.
"""

from __future__ import annotations

from typing import Any

_ORDER = {
    "fid": "string", "name": "string", "project": "string", "created_by": "string",
    "created_at": "string", "deactivated_at": "string?", "instance_quantity": "integer",
    "instance_type": "string", "region": "string?", "instances": "array",
    "launch_specification": "object", "status": "string",
}  # fmt: skip
_KEY = {
    "fid": "string", "name": "string", "project": "string", "public_key": "string",
    "created_at": "string", "required": "boolean",
}  # fmt: skip
_PAGE = {"data": "array", "next_cursor": "string?"}
_HISTORY = {"instances": "array", "next_cursor": "string?"}

NOTES: dict[str, dict[str, str]] = {
    "BidModel": {**_ORDER, "limit_price": "string"},
    "ReservationModel": {
        **_ORDER, "start_time": "string", "end_time": "string", "total_price": "string",
        "unit_price": "string",
    },
    "GetBidsResponse": _PAGE,
    "GetInstancesResponse": _PAGE,
    "GetReservationsResponse": _PAGE,
    "InstanceStatusHistoryResponse": _HISTORY,
    "InstancePricingHistoryResponse": _HISTORY,
    "BidStatusResponse": {"bid_fid": "string", "status": "string"},
    "InstanceTypeModel": {
        "fid": "string", "name": "string", "num_cpus": "integer", "cpu_type": "string",
        "ram_gb": "integer", "num_gpus": "integer", "gpu_type": "string", "gpu_memory_gb": "integer",
        "gpu_socket": "string", "local_storage_gb": "integer", "network_type": "string?",
        "ib_count": "integer", "bridge_count": "integer",
    },
    "AuctionModel": {
        "fid": "string", "instance_type": "string", "region": "string", "capacity": "integer",
        "last_instance_price": "string", "lowest_allocated_price": "string?",
        "adjustable_memory": "boolean", "default_image_version": "string?",
    },
    "CurrentPricesResponse": {
        "spot_price_cents": "integer?", "reserved_price_cents": "integer?",
        "minimum_price_cents": "integer?", "lowest_allocated_bid_cents": "integer?",
        "dynamic_win_price_cents": "integer?", "available_capacity": "integer?",
        "total_capacity": "integer?",
    },
    "HistoricalPricesResponseModel": {"series": "array", "complete": "boolean?"},
    "InstanceStatusResponse": {
        "fid": "string", "name": "string", "status": "string", "bid": "string?",
        "reservation": "string?", "end_time": "string?",
    },
    "VolumeModel": {
        "fid": "string", "name": "string", "region": "string", "created_at": "string",
        "deleted_at": "string?", "capacity_gb": "integer", "project": "string",
        "interface": "string", "bids": "array", "reservations": "array", "attachments": "object",
    },
    "MeResponse": {
        "id": "string", "fid": "string", "email": "string", "user_name": "string?",
        "organization_id": "string", "organization_role": "string?",
    },
    "TeammateResponse": {
        "id": "string", "fid": "string", "user_name": "string?", "email": "string?",
        "organization_role": "string?", "project_ids": "array", "deactivated_at": "string?",
    },
    "ProjectModel": {"fid": "string", "name": "string", "created_at": "string"},
    "QuotaModel": {
        "fid": "string", "project": "string", "instance_type": "string?", "product_type": "string",
        "total_quantity": "integer", "used_quantity": "integer", "units": "string", "name": "string",
    },
    "ImageVersionModel": {
        "image_version_fid": "string", "image_version_name": "string", "os": "string",
        "kernel": "string", "stable": "boolean", "supported_regions": "array",
        "deactivated_at": "string?", "nvidia_driver": "string?", "cuda": "string?",
        "cuda_toolkit": "string?", "nvidia_container_toolkit": "string?", "packages": "string?",
    },
    "NewSshKeyModel": _KEY,
    "CreatedSshKeyModel": {**_KEY, "private_key": "string?"},
    "ReservationQuoteResponse": {"offers": "array"},
    "ExtensionAvailabilityResponse": {"latest_extension_time": "string", "available": "boolean"},
    "HTTPValidationError": {"detail": "array?"},
}  # fmt: skip


def schema(name: str) -> dict[str, Any]:
    """The note as a JSON schema that allows no field we haven't read of."""
    fields = NOTES[name]
    return {
        "type": "object",
        "additionalProperties": False,
        "required": [field for field, kind in fields.items() if not kind.endswith("?")],
        "properties": {
            field: {"type": [kind.rstrip("?"), "null"] if kind.endswith("?") else kind}
            for field, kind in fields.items()
        },
    }
