"""This machine as `flow doctor` looks at it: names, TLS, proxies, SSH keys, the folder of state."""

from __future__ import annotations

import base64
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, TypeVar
from urllib.parse import urlsplit

from flow_adapters import places
from flow_adapters.files import meaning_of, write_whole
from flow_adapters.key_files import key_pairs
from flow_core.errors import NodeUnreachable, NotAuthorized, Transient, WaitTimedOut
from flow_core.ports.machine import LocalKey

T = TypeVar("T")

#: Real seconds for one connection; the caller's own deadline is longer.
CONNECT_S = 8.0
_PROBE = ".flow-doctor"


class LocalMachine:
    """Implements `ports.machine.Machine`; `ssh_key` is the private key that the settings name."""

    def __init__(self, environ: Mapping[str, str], *, ssh_key: str | None = None) -> None:
        self._environ = environ
        self._ssh_key = ssh_key

    def within(self, seconds: float, ask: Callable[[], T]) -> T:
        """See `Machine.within`."""
        came: list[T] = []
        raised: list[BaseException] = []

        def answer() -> None:
            try:
                came.append(ask())
            except BaseException as error:  # noqa: BLE001  (raised again in the caller's thread)
                raised.append(error)

        thread = threading.Thread(target=answer, name="flow-doctor", daemon=True)
        thread.start()
        thread.join(seconds)
        if raised:
            raise raised[0]
        if not came:
            raise WaitTimedOut(f"no answer within {seconds:g} s")
        return came[0]

    def proxy(self, origin: str) -> str | None:
        """See `Machine.proxy`. A user and password in its address are left out."""
        from urllib.request import getproxies, proxy_bypass

        parts = urlsplit(origin)
        found = getproxies()
        named = found.get(parts.scheme) or found.get("all")
        if not named or proxy_bypass(parts.hostname or ""):
            return None
        place = urlsplit(named if "://" in named else f"http://{named}")
        return f"{place.hostname}:{place.port}" if place.port else str(place.hostname)

    def addresses(self, host: str) -> Sequence[str]:
        """See `Machine.addresses`."""
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise Transient(
                f"{host} has no address: {getattr(error, 'strerror', None) or error}",
                hint="is this machine online, and its name server right?",
            ) from error
        return list(dict.fromkeys(str(each[4][0]) for each in found))

    def certificate_ends(self, host: str, port: int) -> datetime:
        """See `Machine.certificate_ends`; whom to trust is what requests go by."""
        from httpx import create_ssl_context

        try:
            with (
                socket.create_connection((host, port), timeout=CONNECT_S) as bare,
                create_ssl_context().wrap_socket(bare, server_hostname=host) as made,
            ):
                certificate: Any = made.getpeercert()
        except ssl.SSLCertVerificationError as error:
            raise NotAuthorized(
                f"{host} can't prove who it is: {error.verify_message}",
                hint="is something between this machine and the provider? SSL_CERT_FILE names a company's own "
                "certificates; a wrong clock does this too",
            ) from error
        except OSError as error:
            raise Transient(
                f"no TLS connection to {host}:{port}: {error.strerror or error}",
                hint="a firewall may be in the way",
            ) from error
        return datetime.fromtimestamp(
            ssl.cert_time_to_seconds(certificate["notAfter"]), tz=timezone.utc
        )

    def local_keys(self) -> Sequence[LocalKey]:
        """See `Machine.local_keys`."""
        return [
            LocalKey(
                public_key=pair.public_key,
                place=places.shown(pair.private, self._environ),
                is_here=pair.is_here,
                is_open_to_others=pair.is_open_to_others,
            )
            for pair in key_pairs(self._environ, named=self._ssh_key)
        ]

    def agent_keys(self) -> Sequence[str] | None:
        """See `Machine.agent_keys`."""
        path = self._environ.get("SSH_AUTH_SOCK")
        if not path:
            return None
        import asyncio

        try:
            return asyncio.run(_held(path))
        except (OSError, ValueError) as error:
            raise NodeUnreachable(
                f"SSH_AUTH_SOCK names {path}, and no agent answers there: {error}",
                hint="start it again, or unset SSH_AUTH_SOCK; key files are used without it",
            ) from error

    def check_state(self) -> str:
        """See `Machine.check_state`."""
        folder = places.made(places.state_dir(self._environ))
        probe = folder / _PROBE
        write_whole(probe, b"here\n")
        try:
            probe.read_bytes()
        except OSError as error:
            raise meaning_of(probe, error) from error
        with contextlib.suppress(OSError):
            probe.unlink()
        return places.shown(folder, self._environ)


async def _held(path: str) -> list[str]:
    from flow_adapters.lean_asyncssh import asyncssh

    agent = await asyncssh.connect_agent(path)
    try:
        pairs = await agent.get_keys()
    finally:
        agent.close()
    return [
        f"{pair.algorithm.decode('ascii')} {base64.b64encode(pair.public_data).decode('ascii')}"
        for pair in pairs
    ]
