"""What this machine intended, written down before it does it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from flow_core.domain.record import TaskEvent, TaskRecord


class Journal(Protocol):
    """Keeps task records. What a method wrote is on disk when it returns, whatever is killed next.

    Safe under many processes. Every method raises `Misconfigured` where its file can't be used, naming it, and
    `NoRoom` when the disk is full.
    """

    def add(self, record: TaskRecord) -> None:
        """Write a new record.

        Raises:
            NameTaken: a live record of the same provider has its name; nothing was written.
        """
        ...

    def update(self, token: str, **changes: object) -> TaskRecord:
        """Change fields of one record, read and written in one transaction, and return it.

        An outcome, once set, is not changed by another; `released` never goes back.

        Raises:
            NotFound: no record has that token.
        """
        ...

    def together(self) -> AbstractContextManager[object]:
        """While entered, this thread's writes are kept back: on disk together when left, or none if left by an error.

        Other processes wait for it to be left, so nothing slow belongs inside. May be entered while entered.
        """
        ...

    def find(self, name: str, *, provider: str | None = None) -> TaskRecord:
        """Return the record with this name or token: the live one, else the one that ended last.

        Raises:
            NotFound: with the nearest names in its hint.
        """
        ...

    def live(self, *, provider: str | None = None) -> Sequence[TaskRecord]:
        """Return every live record, oldest first."""
        ...

    def recent(self, limit: int, *, provider: str | None = None) -> Sequence[TaskRecord]:
        """Return the live records and the `limit` that ended last, newest first."""
        ...

    def members(self, group: str, *, provider: str | None = None) -> Sequence[TaskRecord]:
        """Return the tasks of the newest group with this name or token, oldest first; empty where there is none."""
        ...

    def names(self, prefix: str = "") -> Sequence[str]:
        """Return known names that start with `prefix`, live ones first, for completion and for unique new names."""
        ...

    def log(self, token: str, event: TaskEvent) -> None:
        """Add a line to a record's history."""
        ...

    def events(self, token: str) -> Sequence[TaskEvent]:
        """Return a record's history, oldest first."""
        ...

    def claim(self, token: str, what: str) -> AbstractContextManager[bool]:
        """While entered with True, no other process holds this claim on `what` of this record; False if one does.

        A claim ends with its process, however that ends.
        """
        ...

    def changes(self) -> int:
        """Return a number that grows whenever any process has written; cheap enough to ask ten times a second."""
        ...
