"""Where secrets are kept."""

from __future__ import annotations

from typing import Protocol


class Secrets(Protocol):
    """Finds secrets by name; what it returns is shown nowhere."""

    def find(self, name: str, *, origin: str | None = None) -> str | None:
        """Return the secret, environment first, or None. One stored for another `origin` is not returned."""
        ...

    def where(self, name: str, *, origin: str | None = None) -> str | None:
        """Return where `find` would find the secret, in words; None where it wouldn't."""
        ...

    def store(self, name: str, value: str, *, origin: str | None = None) -> str:
        """Keep a secret and return where, in words.

        Raises:
            Misconfigured: this machine has no keyring; the hint lists the alternatives.
        """
        ...

    def forget(self, name: str, *, origin: str | None = None) -> None:
        """Drop a stored secret; nothing happens where there is none."""
        ...
