"""The user's files as they travel to the nodes."""

from __future__ import annotations

from attrs import frozen


@frozen(kw_only=True)
class Bundle:
    """A snapshot of a folder, taken once at submit and kept until the task has ended.

    `digest` names its content (equal trees, equal digests); `location` is where this machine keeps the archive.
    """

    digest: str
    location: str
    files: int
    bytes: int
