"""SSH keys: which of them may open the nodes of a bid."""

from __future__ import annotations

from datetime import datetime

from attrs import field, frozen


@frozen(kw_only=True)
class SshKey:
    """A public key that a provider knows by name. `required` says that every bid of the account carries it."""

    id: str
    name: str
    public_key: str
    created_at: datetime | None = None
    required: bool = False


@frozen(kw_only=True)
class NewSshKey:
    """A key just added. `private_key` is there, this once, when the provider made the pair; it is shown nowhere."""

    key: SshKey
    private_key: str | None = field(default=None, repr=False)


def is_same_key(one: str, other: str) -> bool:
    """Whether two public keys, as OpenSSH writes them, are one key; comments and spacing don't count."""
    return bool(one.split()[:2]) and one.split()[:2] == other.split()[:2]
