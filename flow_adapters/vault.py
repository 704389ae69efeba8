"""Secrets of tasks in memory: found in the environment or the keyring, and handed to the watcher through a socket.

The watcher outlives the shell that knows a value, so the value goes to it while the task is submitted. Whatever the
watcher held is gone when it ends; the next command with the value at hand can entrust it again.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import struct
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flow_core.domain.task_parts import Keeper, Secret
from flow_core.errors import InvalidRequest, Misconfigured, Transient
from flow_core.ports.clock import Clock

if TYPE_CHECKING:
    import socket

#: Under what name the keyring keeps a secret of the user's; `keyring set flow-secret NAME` puts it there.
KEYRING_SERVICE = "flow-secret"
#: How long the watcher may take to come to its socket, in real seconds.
PATIENCE_S = 15.0
_PAUSE_S = 0.05
_LARGEST = 16 << 20


class HeldVault:
    """Implements `ports.vault.Vault` within one process: what is entrusted is held here."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._held: dict[str, dict[str, str]] = {}

    def find(self, secrets: Sequence[Secret]) -> Mapping[str, str]:
        """See `Vault.find`."""
        found: dict[str, str] = {}
        missing: list[str] = []
        for secret in secrets:
            value = self._value(secret)
            if value is None:
                missing.append(f"{secret.name} is not in {_places(secret.keeper)}")
            else:
                found[secret.name] = value
        if missing:
            raise InvalidRequest(
                {"secrets": "; ".join(missing)},
                hint="export it, or keep it with `keyring set flow-secret NAME`",
            )
        return found

    def entrust(self, token: str, values: Mapping[str, str]) -> None:
        """See `Vault.entrust`."""
        if values:
            self._held[token] = dict(values)

    def held(self, token: str) -> Mapping[str, str]:
        """See `Vault.held`."""
        return dict(self._held.get(token, {}))

    def forget(self, token: str) -> None:
        """See `Vault.forget`."""
        self._held.pop(token, None)

    def _value(self, secret: Secret) -> str | None:
        if secret.keeper is not Keeper.KEYRING and secret.name in self._environ:
            return self._environ[secret.name]
        return None if secret.keeper is Keeper.ENV else _in_keyring(secret.name)


class HandedVault(HeldVault):
    """The vault of a command: what is entrusted goes to the watcher of the same state folder."""

    def __init__(self, state_dir: Path, *, clock: Clock, environ: Mapping[str, str]) -> None:
        super().__init__(environ)
        self._state_dir = state_dir
        self._clock = clock

    def entrust(self, token: str, values: Mapping[str, str]) -> None:
        """See `Vault.entrust`."""
        if not values:
            return
        super().entrust(token, values)
        message = json.dumps({"token": token, "values": dict(values)}).encode()
        place = socket_of(self._state_dir, self._environ)
        waited = 0.0
        while not _sent(place, message):
            if waited >= PATIENCE_S:
                raise Transient("the watcher did not take the task's secrets; nothing was placed")
            self._clock.sleep(_PAUSE_S)
            waited += _PAUSE_S


def serve(vault: HeldVault, place: Path) -> None:
    """Take what this user's other processes entrust, from now on and in a thread, at the socket `place`.

    Raises:
        Misconfigured: the socket can't be made.
    """
    import socket

    try:
        with suppress(FileNotFoundError):
            place.unlink()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(place))
        place.chmod(0o600)
        listener.listen(16)
    except OSError as error:
        raise Misconfigured(f"the watcher's socket {place} can't be made: {error}") from error
    threading.Thread(target=_take, args=(vault, listener), daemon=True).start()


def socket_of(state_dir: Path, environ: Mapping[str, str]) -> Path:
    """Return where the watcher of a state folder listens: short enough for a socket, in a folder that is ours alone.

    Raises:
        Misconfigured: someone else made that folder.
    """
    import tempfile

    digest = hashlib.sha256(str(state_dir.resolve()).encode()).hexdigest()[:16]
    root = environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    folder = Path(root, f"flow-{os.getuid()}")
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if (
        not stat.S_ISDIR(found.st_mode)
        or found.st_uid != os.getuid()
        or stat.S_IMODE(found.st_mode) & 0o077
    ):
        raise Misconfigured(
            f"{folder} is not a folder of yours alone, so no secret goes through it",
            hint="remove it, or name another place with XDG_RUNTIME_DIR",
        )
    return folder / f"{digest}.sock"


def _sent(place: Path, message: bytes) -> bool:
    import socket

    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(PATIENCE_S)
            client.connect(str(place))
            if not _is_ours(client):
                return False
            client.sendall(message)
            client.shutdown(socket.SHUT_WR)
            return client.recv(2) == b"ok"
    except OSError:
        return False


def _take(vault: HeldVault, listener: socket.socket) -> None:
    while True:
        client, _ = listener.accept()
        with client, suppress(OSError, ValueError, KeyError):
            client.settimeout(PATIENCE_S)
            if not _is_ours(client):
                continue
            text = b""
            while len(text) < _LARGEST and (piece := client.recv(1 << 16)):
                text += piece
            said: dict[str, Any] = json.loads(text)
            vault.entrust(str(said["token"]), said["values"])
            client.sendall(b"ok")


def _is_ours(peer: socket.socket) -> bool:
    """Whether the process at the other end is this user's, where the system tells; the folder's mode says so too."""
    import socket

    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return True
    told = peer.getsockopt(socket.SOL_SOCKET, option, struct.calcsize("3i"))
    return bool(struct.unpack("3i", told)[1] == os.getuid())


def _in_keyring(name: str) -> str | None:
    import keyring
    import keyring.errors

    try:
        found: str | None = keyring.get_password(KEYRING_SERVICE, name)
    except keyring.errors.KeyringError:
        return None
    return found


def _places(keeper: Keeper) -> str:
    return {
        Keeper.ANY: "this shell's environment or the keyring",
        Keeper.ENV: "this shell's environment",
        Keeper.KEYRING: "the keyring",
    }[keeper]
