"""Snapshots of the user's folder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from flow_core.domain.code import Bundle
from flow_core.errors import InvalidRequest


class CodeTooLarge(InvalidRequest):
    """The folder holds more than is uploaded without asking; agree to it, or leave something out."""


class Packing(Protocol):
    """A snapshot that is being taken. Threads may share it."""

    def done(self) -> Bundle:
        """Wait for its end and return it, with a tar as its archive.

        Raises:
            FlowError: what `CodeStore.pack` raises.
        """
        ...

    def taken(self) -> Bundle:
        """Wait until it is taken and kept, and return it as `done` does; its archive may borrow from an earlier one.

        Such an archive is for who knows how to read it (`flow_adapters.archives`), and makes a large snapshot sooner
        known; `done`, and `CodeStore.bundle` at any time, make it a tar of its own.
        """
        ...

    @property
    def is_done(self) -> bool:
        """Whether `taken` has nothing left to wait for."""
        ...

    def pieces(self) -> Iterator[bytes]:
        """Yield its tar from the beginning while it is written; raise as `done` does where that fails."""
        ...

    def close(self) -> None:
        """Stop where it isn't over, and wait for that: nothing is left of it."""
        ...


class CodeStore(Protocol):
    """Takes snapshots and keeps them until nobody needs them."""

    def pack(self, folder: str) -> Bundle:
        """Snapshot `folder` minus what its ignore files name; equal content gives the same digest and one archive.

        Raises:
            InvalidRequest: `folder` doesn't exist, can't be read, or changes while it is read.
            CodeTooLarge: it holds more than is uploaded without asking; the message names the largest in it.
            NoRoom: this machine's disk is full; nothing is left behind.
        """
        ...

    def packing(self, folder: str) -> Packing:
        """Begin what `pack` does, and return at once."""
        ...

    def signature(self, folder: str) -> str:
        """Return a text that differs once anything has changed that `pack` would take; no file is read for it.

        Raises:
            InvalidRequest: `folder` doesn't exist, or can't be listed.
        """
        ...

    def absolute(self, path: str) -> str:
        """Return a path of this machine as it is called from anywhere; it need not be there."""
        ...

    def agree_to_any_size(self) -> None:
        """Have `pack` take folders of any size from now on."""
        ...

    def folder_of(self, digest: str) -> str | None:
        """Return the folder, absolute, that a snapshot was taken of last; None where that isn't known."""
        ...

    def bundle(self, digest: str) -> Bundle:
        """Return a snapshot taken earlier.

        Raises:
            NotFound: it was dropped.
        """
        ...

    def tar(self, digest: str, *, most: int) -> bytes | None:
        """Return a snapshot taken earlier as one tar; None where it was dropped, or takes more than `most` bytes."""
        ...

    def keep_only(self, digests: set[str]) -> None:
        """Drop every snapshot but these."""
        ...


def whole(bundle: Bundle | Packing) -> Bundle:
    """Return a snapshot once it is whole; raise as `Packing.done` does."""
    return bundle if isinstance(bundle, Bundle) else bundle.done()


def taken(bundle: Bundle | Packing) -> Bundle:
    """Return a snapshot once it is taken; raise as `Packing.taken` does."""
    return bundle if isinstance(bundle, Bundle) else bundle.taken()
