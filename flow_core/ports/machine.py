"""This machine and its way to the network, as `flow doctor` looks at them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol, TypeVar

from attrs import frozen

T = TypeVar("T")


@frozen(kw_only=True)
class LocalKey:
    """A public key in a file here, and its private half: where it is, whether it is, and whether others can read it."""

    public_key: str
    place: str
    is_here: bool
    is_open_to_others: bool = False


class Machine(Protocol):
    """Tells what surrounds Flow. Nothing here changes anything."""

    def within(self, seconds: float, ask: Callable[[], T]) -> T:
        """Return what `ask` returns, or raise what it raises; what takes longer is left to itself, unheard.

        Raises:
            WaitTimedOut: `seconds` of real time passed.
        """
        ...

    def proxy(self, origin: str) -> str | None:
        """Return the proxy through which an origin is asked, None where it is asked directly."""
        ...

    def addresses(self, host: str) -> Sequence[str]:
        """Return the addresses of a host.

        Raises:
            Transient: it has none, or nobody could be asked; the message has the system's words.
        """
        ...

    def certificate_ends(self, host: str, port: int) -> datetime:
        """Make a TLS connection, and return until when the host's certificate is good.

        Raises:
            Transient: there is no connection.
            NotAuthorized: the host can't prove who it is; the message says why.
        """
        ...

    def local_keys(self) -> Sequence[LocalKey]:
        """Return the user's SSH keys that lie in files, the configured one first."""
        ...

    def agent_keys(self) -> Sequence[str] | None:
        """Return the public keys that the user's SSH agent holds; None where no agent runs.

        Raises:
            NodeUnreachable: one is named, and doesn't answer.
        """
        ...

    def check_state(self) -> str:
        """Return where state is kept, having written there and read it back.

        Raises:
            Misconfigured, NoRoom: it can't be written.
        """
        ...
