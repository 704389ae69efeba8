"""The keys to buckets that this machine's user has: read when they are needed, kept nowhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from flow_core.domain.s3 import BucketKeys


class Buckets(Protocol):
    """Finds keys where the tools for S3 keep them."""

    def keys(self, handed: Mapping[str, str] | None = None) -> BucketKeys:
        """Return the keys that hold now; may be repeated, and takes as long as the user's own program for it.

        `handed` are variables of another process of the same user, as its `variables` told them; they count instead
        of this process's own.

        Raises:
            InvalidRequest: keyed `mounts`: there are none, naming where they were looked for and what to do.
        """
        ...

    def variables(self) -> Mapping[str, str]:
        """Return what of this process's environment decides which keys are found; secrets are among it."""
        ...
