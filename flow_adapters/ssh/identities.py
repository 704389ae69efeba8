"""The keys that are offered to nodes: named files, the agent's, else the usual files of a home.

Loaded in the caller's own thread, because a passphrase may have to be asked for, and once for all nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from flow_adapters.lean_asyncssh import asyncssh

#: Asks for the passphrase of the key file it is given; None gives up on that key.
Ask = Callable[[Path], "str | None"]
#: The files that are tried when nobody names one. Source: ssh(1), IdentityFile.
USUAL = ("id_ed25519", "id_ecdsa", "id_rsa", "id_ed25519_sk", "id_ecdsa_sk")
#: More attempts than this and OpenSSH's server closes the door. Source: sshd_config(5), MaxAuthTries.
MOST_OFFERED = 6
TRIES = 3


class Identities:
    """Loads each key file once, and remembers why one couldn't be used."""

    def __init__(self, *, folder: Path, ask: Ask | None = None) -> None:
        self.problems: list[str] = []
        self._folder = folder
        self._ask = ask
        self._loaded: dict[Path, tuple[asyncssh.SSHKeyPair, ...]] = {}

    def offered(
        self, named: Sequence[Path], agent: Sequence[asyncssh.SSHKeyPair], *, only_named: bool
    ) -> tuple[asyncssh.SSHKeyPair, ...]:
        """Return what to offer, in order: the named files, then the agent's keys, then the usual files.

        A named file whose public half the agent has isn't opened. Of the usual files those that need a passphrase
        count only when nothing else is there. `only_named` leaves out what was not named.
        """
        found: list[asyncssh.SSHKeyPair] = []
        for path in named:
            found += _held_by(agent, path) or self._file(path, asks=True)
        if not only_named:
            found += agent
            if not named:
                usual = [path for name in USUAL if (path := self._folder / name).is_file()]
                found += self._files(usual, asks=False)
                if not found:
                    found += self._files(usual, asks=True)
        unique = {(pair.public_data, pair.algorithm): pair for pair in reversed(found)}
        return tuple(reversed(unique.values()))[:MOST_OFFERED]

    def _files(self, paths: Iterable[Path], *, asks: bool) -> list[asyncssh.SSHKeyPair]:
        return [pair for path in paths for pair in self._file(path, asks=asks)]

    def _file(self, path: Path, *, asks: bool) -> tuple[asyncssh.SSHKeyPair, ...]:
        if path not in self._loaded:
            pairs = self._opened(path, asks=asks)
            if pairs is None:
                return ()
            self._loaded[path] = pairs
        return self._loaded[path]

    def _opened(self, path: Path, *, asks: bool) -> tuple[asyncssh.SSHKeyPair, ...] | None:
        passphrase: str | None = None
        for tried in range(TRIES + 1):
            try:
                return tuple(asyncssh.load_keypairs(str(path), passphrase))
            except OSError as error:
                return self._unusable(f"{path} can't be read: {error.strerror}")
            except ImportError as error:
                return self._unusable(f"{path} needs a library that isn't installed: {error}")
            except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
                if "bcrypt" in str(error):
                    return self._unusable(
                        f"{path} has a passphrase, which takes the bcrypt library: `pip install bcrypt`, "
                        "or let an agent hold it: `ssh-add`"
                    )
                if passphrase is None and "assphrase" not in str(error):
                    return self._unusable(f"{path} is no private key: {error}")
            if not asks:
                return None
            passphrase = self._ask(path) if self._ask is not None and tried < TRIES else None
            if passphrase is None:
                break
        return self._unusable(f"{path} needs its passphrase; `ssh-add` lets an agent hold it")

    def _unusable(self, problem: str) -> tuple[asyncssh.SSHKeyPair, ...]:
        self.problems.append(problem)
        return ()


def _held_by(agent: Sequence[asyncssh.SSHKeyPair], path: Path) -> tuple[asyncssh.SSHKeyPair, ...]:
    if not agent:
        return ()
    try:
        public = asyncssh.read_public_key(path.with_name(path.name + ".pub")).public_data
    except (OSError, asyncssh.KeyImportError):
        return ()
    return tuple(pair for pair in agent if pair.public_data == public)
