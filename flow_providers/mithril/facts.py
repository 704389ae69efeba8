"""What is so of Mithril whatever is asked of it: its name, its address, its limits. Light to load."""

from __future__ import annotations

from flow_core.domain.task_parts import Source
from flow_core.ports.provider import Limits

NAME = "mithril"
#: Source: contract section 1.
API_URL = "https://api.mithril.ai"
#: How long a bid whose answer was not heard may be missing from complete listings before it counts as never made.
LISTING_LAG_S = 60.0
#: How many requests are under way at once where several are needed, such as one a market.
LANES = 6
#: The longest startup script, in characters. Source: contract section 5.
SCRIPT_CHARS = 10_000
API_KEY = "api_key"


def limits(listing_lag_s: float) -> Limits:
    """Return what shapes the core's work with it."""
    return Limits(
        listing_lag_s=listing_lag_s,
        script_chars=SCRIPT_CHARS,
        mounts=frozenset({Source.VOLUME, Source.S3}),
        volume_path="/mnt/{name}",
        volume_device="/dev/disk/by-id/virtio-{id:.20}",
        images_by_kit=True,
        pauses=True,
        notice_file="/opt/mithril/MITHRIL_SIGNAL.yml",
        scratch_paths=("/mnt/local",),
    )
