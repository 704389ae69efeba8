"""Snapshots of the user's folder."""

from __future__ import annotations

from typing import Protocol

from flow_core.domain.code import Bundle


class CodeStore(Protocol):
    """Takes snapshots and keeps them until nobody needs them."""

    def pack(self, folder: str) -> Bundle:
        """Snapshot `folder` minus what its ignore files name; equal content gives the same digest and one archive.

        Raises:
            InvalidRequest: `folder` doesn't exist, can't be read, changes while it is read, or is too large.
            NoRoom: this machine's disk is full; nothing is left behind.
        """
        ...

    def bundle(self, digest: str) -> Bundle:
        """Return a snapshot taken earlier.

        Raises:
            NotFound: it was dropped.
        """
        ...

    def keep_only(self, digests: set[str]) -> None:
        """Drop every snapshot but these."""
        ...
