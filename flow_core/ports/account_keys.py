"""The account keys role: keys that may do what the account may, until a day that is given. Optional.

A node may hold one (`--guard node`), to end its own bid while nobody else is awake.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from attrs import field, frozen


@frozen(kw_only=True)
class NewAccountKey:
    """A key just made. `secret` is returned this once; `expires_at` may be sooner than asked."""

    id: str
    secret: str = field(repr=False)
    expires_at: datetime


@frozen(kw_only=True)
class Withdrawal:
    """The one HTTPS request that ends a bid, for a program that knows nothing of the provider."""

    method: str
    url: str
    headers: dict[str, str] = field(repr=False, hash=False)


class AccountKeys(Protocol):
    """Makes and revokes keys of the account. Every method may raise `NotAuthorized` and `Transient`."""

    def named(self, name: str) -> Sequence[str]:
        """Return the ids of the keys with this very name that still open the account; may be repeated."""
        ...

    def make(self, name: str, *, expires_at: datetime) -> NewAccountKey:
        """Make a key; one of the same name is another key.

        Raises:
            InvalidRequest: the provider takes no such name, or no such day.
            Transient: no answer; look for the name before repeating.
        """
        ...

    def revoke(self, key_id: str) -> None:
        """End a key at once; one that has ended or is nobody's changes nothing."""
        ...

    def withdrawal(self, bid_id: str, secret: str) -> Withdrawal:
        """Return the request that withdraws a bid with that key; nothing is asked of the provider."""
        ...
