"""How to reach each node: the user's own SSH settings, what Flow insists on, and the keys to offer.

Read once for each address, in the caller's thread; where the user has no `~/.ssh/config` all nodes share one reading.

What Flow insists on. The agent is never forwarded, and nothing of the caller's environment is sent. Only keys log in.
Of the key exchanges the hybrid with ML-KEM comes first, since what is recorded today may be read in ten years; it costs
a tenth of a millisecond. Then X25519 and P-256; large Diffie-Hellman groups, which cost the node tens, last. Host
keys: Ed25519 before ECDSA before RSA, unless another kind is pinned.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from attrs import evolve, frozen

from flow_adapters.lean_asyncssh import asyncssh
from flow_adapters.ssh.algorithms import CIPHERS
from flow_adapters.ssh.identities import Identities
from flow_core.domain.allocation import Address, Node

KEX = (
    "mlkem768x25519-sha256",
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
    "diffie-hellman-group14-sha256",
    "diffie-hellman-group16-sha512",
)
HOST_KEYS = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
)
KEEP_ALIVE_S = 15
KEEP_ALIVES = 3


@frozen(kw_only=True)
class Target:
    """One node as SSH sees it; `node_id` is None for a host on the way to it, which the user vouches for."""

    node_id: str | None
    address: Address
    options: asyncssh.SSHClientConnectionOptions
    keys: tuple[asyncssh.SSHKeyPair, ...]
    jump: Target | None = None
    #: Why keys that might have been offered were not.
    problems: tuple[str, ...] = ()

    @property
    def where(self) -> str:
        """The place that is connected to, as people write it."""
        return f"{self.options.host}:{self.options.port}"

    @property
    def link(self) -> tuple[str | None, Address]:
        """What connections are told apart by: a node that moved is connected to anew."""
        return (self.node_id, self.address)


class Targets:
    """Knows how to reach any address, from settings that are read when first needed."""

    def __init__(
        self, *, keys: Sequence[Path], config: Path | None, identities: Identities
    ) -> None:
        self._keys = tuple(keys)
        self._config = [str(config)] if config is not None and config.is_file() else None
        self._identities = identities
        self._known: dict[Address, Target] = {}

    def of(self, node: Node, agent: Sequence[asyncssh.SSHKeyPair]) -> Target:
        """Return how to reach `node`, which must have an address.

        Raises:
            asyncssh.ConfigParseError: the user's settings can't be read.
        """
        assert node.address is not None
        found = self._known.get(node.address)
        if found is None:
            found = self._known[node.address] = self._read(node.address, agent)
        return evolve(found, node_id=node.id)

    def _read(self, address: Address, agent: Sequence[asyncssh.SSHKeyPair]) -> Target:
        options = asyncssh.SSHClientConnectionOptions(
            config=self._config,
            host=address.host,
            port=address.port,
            username=address.user,
            known_hosts=([], [], []),
            **_insisted(),
        )
        jump: Target | None = None
        for hop in options.tunnel.split(",") if isinstance(options.tunnel, str) else ():
            jump = self._hop(hop, jump, agent)
        return Target(
            node_id=None,
            address=address,
            options=options,
            keys=self._offered(options, agent),
            jump=jump,
            problems=tuple(self._identities.problems),
        )

    def _hop(self, text: str, jump: Target | None, agent: Sequence[asyncssh.SSHKeyPair]) -> Target:
        user, _, place = text.rpartition("@")
        host, _, port = place.rpartition(":") if ":" in place else (place, "", "")
        options = asyncssh.SSHClientConnectionOptions(
            config=self._config,
            host=host,
            tunnel=None,
            **({"username": user} if user else {}),
            **({"port": int(port)} if port else {}),
            **_insisted(),
        )
        return Target(
            node_id=None,
            address=Address(options.host, options.port, options.username),
            options=options,
            keys=self._offered(options, agent),
            jump=jump,
            problems=tuple(self._identities.problems),
        )

    def _offered(
        self, options: asyncssh.SSHClientConnectionOptions, agent: Sequence[asyncssh.SSHKeyPair]
    ) -> tuple[asyncssh.SSHKeyPair, ...]:
        files = options.config.get("IdentityFile", ())
        listed = [Path(each).expanduser() for each in files] if isinstance(files, list) else []
        return self._identities.offered(
            [*self._keys, *(path for path in listed if path.is_file())],
            agent,
            only_named=bool(options.config.get("IdentitiesOnly")),
        )


def _insisted() -> dict[str, object]:
    return {
        "kex_algs": list(KEX),
        "encryption_algs": list(CIPHERS),
        "server_host_key_algs": list(HOST_KEYS),
        "compression_algs": ["none"],
        "preferred_auth": "publickey",
        "client_keys": None,
        "agent_path": None,
        "agent_forwarding": False,
        "x11_forwarding": False,
        "x509_trusted_certs": None,
        "x509_trusted_cert_paths": [],
        "gss_host": None,
        "command": None,
        "env": None,
        "send_env": None,
        "request_pty": False,
        "encoding": None,
        "keepalive_interval": KEEP_ALIVE_S,
        "keepalive_count_max": KEEP_ALIVES,
    }
