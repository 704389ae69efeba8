"""The keys role: which SSH keys open nodes. Optional."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from flow_core.domain.keys import NewSshKey, SshKey


class Keys(Protocol):
    """Lists, adds and deletes SSH keys. Every method may raise `NotAuthorized` and `Transient`."""

    def keys(self) -> Sequence[SshKey]:
        """Return the keys that bids of the account may carry, by name; may be repeated."""
        ...

    def add(self, name: str, *, public_key: str | None = None) -> NewSshKey:
        """Add a key and return it as the provider keeps it; without `public_key` the provider makes a pair.

        The private half of such a pair is returned this once and never again. A public key that is there already
        under this name is returned and not added twice.

        Raises:
            NameTaken: another key has that name.
            InvalidRequest: `public_key` is none that the provider takes.
            Transient: no answer; look for the name before repeating.
        """
        ...

    def delete(self, key_id: str) -> None:
        """Delete a key; nodes that have it keep it. Deleting one that is gone does nothing.

        Raises:
            InUse: a live bid or reservation carries it; nothing was deleted.
        """
        ...
