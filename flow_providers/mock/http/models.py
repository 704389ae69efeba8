"""The shapes of bodies, in and out; our own reading of what the service documents and its clients send."""

from __future__ import annotations

from flow_providers.mock.http.shapes import (
    amount,
    anything,
    fid,
    flag,
    many,
    mapping,
    maybe,
    one_of,
    record,
    text,
    when,
    whole,
)  # fmt: skip

BID_WORDS = ("Open", "Allocated", "Preempting", "Terminated", "Paused")
NODE_WORDS = tuple(
    "STATUS_" + word
    for word in (
        "NEW", "CONFIRMED", "INITIALIZING", "STARTING", "RUNNING", "STOPPING", "TERMINATED",
        "RELOCATING", "PREEMPTING", "PREEMPTED", "REPLACED", "PAUSED", "ERROR",
    )
)  # fmt: skip
TERM_WORDS = ("Pending", "Active", "Paused", "Canceled", "Ended")
VOLUME_NAME = text(most=64, pattern="^[a-z]([-a-z0-9]*[a-z0-9])?$")
SORT_DIR = one_of("asc", "desc")

PROJECT = record({"fid": fid("proj"), "name": text(), "created_at": when()})
ME = record(
    {
        "id": text(), "fid": fid("user"), "email": text(), "user_name": maybe(text()),
        "organization_id": text(), "organization_role": maybe(text()),
    }
)  # fmt: skip
TEAMMATE = record(
    {
        "id": text(), "fid": fid("user"), "user_name": maybe(text()), "email": maybe(text()),
        "organization_role": maybe(text()), "project_ids": many(text()), "deactivated_at": maybe(when()),
    }
)  # fmt: skip
API_KEY_FIELDS = {
    "fid": fid("apikey"), "name": text(), "created_at": when(), "expires_at": when(),
    "deactivated_at": maybe(when()), "snippet": text(),
}  # fmt: skip
API_KEY = record(API_KEY_FIELDS)
NEW_API_KEY = record({**API_KEY_FIELDS, "secret": text()})
API_KEY_ASKED = record({"name": text(), "expires_at": when()})

SSH_KEY_FIELDS = {
    "fid": fid("sshkey"), "name": text(), "project": fid("proj"), "public_key": text(),
    "created_at": when(), "required": flag(),
}  # fmt: skip
SSH_KEY = record(SSH_KEY_FIELDS)
NEW_SSH_KEY = record({**SSH_KEY_FIELDS, "private_key": maybe(text())})
SSH_KEY_ASKED = record(
    {"project": text(), "name": text(), "public_key": maybe(text()), "required": flag(default=False)},
    optional=("public_key", "required"),
)  # fmt: skip
SSH_KEY_CHANGE = record({"required": flag()})

LAUNCH = record(
    {
        "volumes": many(text()), "ssh_keys": many(text()), "startup_script": maybe(text()),
        "kubernetes_cluster": maybe(text()), "image_version": maybe(text()), "memory_gb": maybe(whole()),
    },
    optional=("startup_script", "kubernetes_cluster", "image_version", "memory_gb"),
)  # fmt: skip
BID = record(
    {
        "fid": fid("bid"), "name": text(), "project": fid("proj"), "created_by": fid("user"),
        "created_at": when(), "deactivated_at": maybe(when()), "limit_price": amount(),
        "instance_quantity": whole(), "instance_type": fid("it"), "region": maybe(text()),
        "instances": many(fid("inst")), "launch_specification": LAUNCH, "status": one_of(*BID_WORDS),
    }
)  # fmt: skip
BID_ASKED = record(
    {
        "project": text(), "region": text(), "instance_type": text(), "limit_price": text(),
        "instance_quantity": whole(least=1), "name": text(), "launch_specification": LAUNCH,
        "notification_email": maybe(text()),
    },
    optional=("notification_email",),
)  # fmt: skip
BID_CHANGE = record(
    {
        "limit_price": maybe(text()), "paused": maybe(flag()), "volumes": maybe(many(text())),
        "memory_gb": maybe(whole()),
    },
    optional=("limit_price", "paused", "volumes", "memory_gb"),
)  # fmt: skip
BID_STATUS = record({"bid_fid": fid("bid"), "status": one_of(*BID_WORDS, "Relocating")})
BID_HISTORY = record(
    {
        "bid_fid": fid("bid"),
        "events": many(
            record(
                {
                    "timestamp": when(),
                    "event_type": one_of(
                        "Placed", "Paused", "Resumed", "Terminated", "Allocated", "Preempted",
                        "Limit Price Changed", "Memory Adjusted", "Volumes Attached", "Volumes Removed",
                    ),
                    "limit_price": maybe(amount()), "user_id": maybe(text()), "memory_gb": maybe(whole()),
                    "persistent_disk_change": maybe(
                        record({"attached": maybe(text()), "removed": maybe(text())})
                    ),
                }
            )
        ),
    }
)  # fmt: skip

INSTANCE = record(
    {
        "fid": fid("inst"), "name": text(), "project": fid("proj"), "created_at": when(),
        "created_by": fid("user"), "instance_type": fid("it"), "region": maybe(text()),
        "bid": maybe(fid("bid")), "reservation": maybe(fid("res")), "ssh_destination": maybe(text()),
        "private_ip": maybe(text()), "status": one_of(*NODE_WORDS),
    }
)  # fmt: skip
INSTANCE_STATUS = record(
    {
        "fid": fid("inst"), "name": text(), "status": one_of(*NODE_WORDS), "bid": maybe(fid("bid")),
        "reservation": maybe(fid("res")), "end_time": maybe(when()),
    }
)  # fmt: skip
INSTANCES_CHANGE = record(
    {"instances": many(text(), unique=True), "status": one_of("STATUS_RUNNING", "STATUS_PAUSED")}
)
INSTANCES_CHANGED = record({"instances": mapping(one_of(*NODE_WORDS))})
BOOT_DISK_ASKED = record({"image_version": maybe(text())}, optional=("image_version",))
BOOT_DISK = record(
    {"fid": fid("inst"), "image_version": maybe(fid("imgver")), "status": one_of("REFRESHED")}
)
RESTARTED = record({"fid": fid("inst"), "status": one_of("RESTARTING")})


def _histories(event: dict[str, object]) -> dict[str, object]:
    shape = record(
        {
            "instance_fid": fid("inst"), "events": many(event), "bid_fid": maybe(fid("bid")),
            "reservation_fid": maybe(fid("res")),
        }
    )  # fmt: skip
    return record({"instances": many(shape), "next_cursor": maybe(text())})


STATUS_HISTORY = _histories(record({"timestamp": when(), "status": one_of(*NODE_WORDS)}))
PRICING_HISTORY = _histories(
    record({"price_cents": whole(), "start_time": when(), "end_time": maybe(when())})
)

TYPE = record(
    {
        "fid": fid("it"), "name": text(), "num_cpus": whole(), "cpu_type": text(), "ram_gb": whole(),
        "num_gpus": whole(), "gpu_type": text(), "gpu_memory_gb": whole(), "gpu_socket": text(),
        "local_storage_gb": whole(), "network_type": maybe(text()), "ib_count": whole(),
        "bridge_count": whole(),
    }
)  # fmt: skip
CPU_TYPE = record({**TYPE["properties"], "hourly_price": {"type": "number"}})
AUCTION = record(
    {
        "fid": fid("auc"), "instance_type": fid("it"), "region": text(), "capacity": whole(),
        "last_instance_price": amount(), "lowest_allocated_price": maybe(amount()),
        "adjustable_memory": flag(), "default_image_version": maybe(fid("imgver")),
    }
)  # fmt: skip
CURRENT_PRICES = record(
    {
        name: maybe(whole())
        for name in (
            "spot_price_cents", "reserved_price_cents", "minimum_price_cents",
            "lowest_allocated_bid_cents", "dynamic_win_price_cents", "available_capacity",
            "total_capacity",
        )
    }
)  # fmt: skip
PRICE_HISTORY = record(
    {
        "series": many(
            record(
                {
                    "instance_type": fid("it"), "region": text(), "timestamps": many(when()),
                    "spot_prices": many(text()), "reserved_prices": many(text()), "region_disabled": flag(),
                }
            )
        ),
        "complete": flag(),
    }
)  # fmt: skip
IMAGE = record(
    {
        "image_version_fid": fid("imgver"), "image_version_name": text(), "os": text(), "kernel": text(),
        "stable": flag(), "supported_regions": many(text()), "deactivated_at": maybe(when()),
        "nvidia_driver": maybe(text()), "cuda": maybe(text()), "cuda_toolkit": maybe(text()),
        "nvidia_container_toolkit": maybe(text()), "packages": maybe(text()),
    }
)  # fmt: skip
QUOTA = record(
    {
        "fid": text(), "project": fid("proj"), "instance_type": maybe(fid("it")), "product_type": text(),
        "total_quantity": whole(least=0), "used_quantity": whole(least=0), "units": text(), "name": text(),
    }
)  # fmt: skip

VOLUME = record(
    {
        "fid": fid("vol"), "name": text(), "region": text(), "created_at": when(),
        "deleted_at": maybe(when()), "capacity_gb": whole(), "project": fid("proj"),
        "interface": one_of("Block", "File"), "bids": many(fid("bid")), "reservations": many(fid("res")),
        "attachments": mapping(text()),
    }
)  # fmt: skip
VOLUME_ASKED = record(
    {
        "name": VOLUME_NAME, "project": text(), "disk_interface": one_of("Block", "File"),
        "region": text(), "size_gb": whole(least=1, most=2_097_151),
    }
)  # fmt: skip
VOLUME_CHANGE = record({"name": VOLUME_NAME})

SCRIPT = record(
    {
        "fid": text(), "name": text(), "description": text(), "content_url": text(),
        "project": fid("proj"), "created_at": when(), "created_by": fid("user"),
        "last_modified_at": when(), "last_modified_by": fid("user"),
        "scope": one_of("PROJECT", "ORGANIZATION", "PLATFORM"),
    }
)  # fmt: skip
SCRIPT_SCOPE = one_of("PROJECT", "ORGANIZATION")
SCRIPT_ASKED = record(
    {
        "project": text(), "name": text(least=1), "content": text(least=1), "description": maybe(text()),
        "scope": {**SCRIPT_SCOPE, "default": "PROJECT"},
    },
    optional=("description", "scope"),
)  # fmt: skip
SCRIPT_CHANGE = record(
    {
        "name": maybe(text(least=1)), "description": maybe(text()), "scope": maybe(SCRIPT_SCOPE),
    },
    optional=("name", "description", "scope"),
)  # fmt: skip

CLUSTER = record(
    {
        "fid": fid("clust"), "project": fid("proj"), "name": text(), "region": text(),
        "created_at": when(), "kube_host": maybe(text()), "ssh_keys": many(fid("sshkey")),
        "instances": many(fid("inst")), "join_command": maybe(text()),
        "status": one_of("Pending", "Available", "Terminated"), "deleted_at": maybe(when()),
        "k8s_version": text(), "user_fid": maybe(fid("user")),
    }
)  # fmt: skip
CLUSTER_ASKED = record(
    {
        "name": text(), "project": text(), "region": text(), "ssh_keys": many(text(), least=1),
        "instance_type": text(), "k8s_version": one_of("1.34", "1.29", default="1.34"),
        "image_version": maybe(text()),
    },
    optional=("k8s_version", "image_version"),
)  # fmt: skip

PRICE_ASKED = record(
    {"offer_key": text(default="standard"), "max_unit_price": maybe(whole(least=0))},
    optional=("offer_key", "max_unit_price"),
)
RESERVATION = record(
    {
        **{name: shape for name, shape in BID["properties"].items() if name != "limit_price"},
        "fid": fid("res"), "status": one_of(*TERM_WORDS), "start_time": when(), "end_time": when(),
        "total_price": amount(), "unit_price": amount(),
    }
)  # fmt: skip
RESERVATION_ASKED = record(
    {
        "project": text(), "instance_type": text(), "region": text(), "start_time": when(),
        "end_time": when(), "instance_quantity": whole(least=1), "name": text(),
        "launch_specification": LAUNCH, "price_specification": maybe(PRICE_ASKED),
        "notification_email": maybe(text()),
    },
    optional=("price_specification", "notification_email"),
)  # fmt: skip
RESERVATION_CHANGE = record(
    {"paused": maybe(flag()), "volumes": maybe(many(text()))}, optional=("paused", "volumes")
)
EXTENSION_ASKED = record(
    {"end_time": when(), "price_specification": maybe(PRICE_ASKED)},
    optional=("price_specification",),
)
EXTENSION = record({"latest_extension_time": when(), "available": flag()})
GIVEN_BACK = record(
    {"instances": many(text(), least=1, unique=True), "reduce_capacity": flag(only=True)}
)
OFFER = record(
    {
        name: text()
        for name in (
            "key", "display_name", "unit_price", "return_buyback_price", "pause_buyback_price",
            "total_price", "total_etbp_value", "total_fubp_value", "option_premium",
        )
    }
)  # fmt: skip
FREE_TIME = {
    "oneOf": [
        many(record({"start_time": when(), "end_time": when(), "quantity": whole()})),
        record({"latest_end_time": when(), "available": flag()}, strict=True),
        record({"available": flag()}, strict=True),
    ]
}
TERM_HISTORY = record(
    {
        "reservation_fid": fid("res"),
        "events": many(
            record(
                {
                    "timestamp": when(),
                    "event_type": one_of(
                        "Placed", "Active", "Paused", "Resumed", "Canceled", "Ended", "Terms Set",
                        "Terms Changed",
                    ),
                    "user_id": maybe(text()), "unit_price_cents": maybe(whole()),
                    "pause_credit_cents": maybe(whole()), "return_credit_cents": maybe(whole()),
                }
            )
        ),
    }
)  # fmt: skip
TERM_USAGE = record(
    {
        "reservation": record(
            {
                "fid": fid("res"), "order_name": text(), "start_date": when(), "end_date": when(),
                "status": one_of(*BID_WORDS), "committed_cost_cents": whole(),
            }
        ),
        "summary": record(
            {
                "committed_cost_cents": whole(), "flex_use_credits_cents": whole(),
                "early_termination_credits_cents": whole(), "net_cost_cents": whole(),
                "reserved_instance_hours": text(), "active_instance_hours": text(),
                "idle_instance_hours": text(), "as_of": when(),
            }
        ),
        "grants": many(
            record(
                {
                    "fid": text(), "starts_at": when(), "ends_at": when(), "quantity": whole(),
                    "unit_price": whole(), "price_credit": whole(), "return_credit": whole(),
                }
            )
        ),
        "pricing_events": many(
            record(
                {
                    "id": text(), "occurred_at": when(), "instance_fid": fid("inst"),
                    "instance_name": text(), "instance_status": one_of(*NODE_WORDS),
                }
            )
        ),
        "reservation_events": many(
            record(
                {
                    "occurred_at": when(), "event_type": one_of("Started", "Paused", "Extended"),
                    "reservation_name": text(),
                }
            )
        ),
    }
)  # fmt: skip

REGION = record(
    {
        "id": text(), "name": text(), "block_storage_enabled": flag(), "fileshare_storage_enabled": flag(),
        "k8s_enabled": flag(), "max_volume_size_tb": whole(), "max_volume_name_length": whole(),
    }
)  # fmt: skip
CPU_ASKED = record(
    {
        "name": text(), "project": text(), "instance_type": text(), "region": text(),
        "volumes": many(text()), "ssh_keys": maybe(many(text())), "image_version": maybe(text()),
    },
    optional=("volumes", "ssh_keys", "image_version"),
    strict=True,
)  # fmt: skip
ANYTHING = anything()
