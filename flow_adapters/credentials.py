"""Secrets: the environment first, then the system's keyring, then a file of the user's that they asked for by name.

A stored secret belongs to one origin, such as an API's address: it is never returned for another, so that a changed
address can't collect it. The keyring library loads only when the environment has no answer.
"""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flow_adapters.files import write_whole
from flow_adapters.logging import hide
from flow_core.errors import Misconfigured

#: Names the file that keeps secrets on machines without a keyring.
FILE_VARIABLE = "FLOW_SECRETS_FILE"
_SERVICE = "flow"


class LocalSecrets:
    """Implements `ports.secrets.Secrets` on this machine.

    `variables` maps a secret's name to the variables that may hold it, the first counting most. `file` is where
    secrets go on a machine without a keyring, and only where the user named one.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        *,
        variables: Mapping[str, tuple[str, ...]],
        file: Path | None = None,
    ) -> None:
        self._environ = environ
        self._variables = variables
        named = environ.get(FILE_VARIABLE)
        self._file = file or (Path(named).expanduser() if named else None)

    def find(self, name: str, *, origin: str | None = None) -> str | None:
        """See `Secrets.find`. A variable counts for every origin: whoever set it chose to."""
        found = self._found(name, origin)[0]
        if found:
            hide(found)
        return found

    def where(self, name: str, *, origin: str | None = None) -> str | None:
        """See `Secrets.where`."""
        found, place = self._found(name, origin)
        return place if found else None

    def store(self, name: str, value: str, *, origin: str | None = None) -> str:
        """See `Secrets.store`."""
        if self._file is not None:
            write_whole(
                self._file, _text({**_read(self._file), _entry(name, origin): value}), mode=0o600
            )
            return f"the file {self._file}"
        keyring = _keyring()
        why = "it has none that works without a desktop"
        if keyring is not None:
            try:
                keyring.set_password(_SERVICE, _entry(name, origin), value)
                return f"the keyring ({keyring.get_keyring().name})"
            except keyring.errors.KeyringError as error:
                why = str(error) or type(error).__name__
        variable = next(iter(self._variables.get(name, ())), f"FLOW_{name.upper()}")
        raise Misconfigured(
            f"this machine's keyring can't keep {name}: {why}",
            hint=f"set {variable} in the environment, or name a file that only you can read: "
            f"`flow setup --key-file PATH`, or {FILE_VARIABLE}",
        )

    def forget(self, name: str, *, origin: str | None = None) -> None:
        """See `Secrets.forget`."""
        if self._file is not None:
            kept = _read(self._file)
            if kept.pop(_entry(name, origin), None) is not None:
                write_whole(self._file, _text(kept), mode=0o600)
            return
        keyring = _keyring()
        if keyring is None:
            return
        try:
            keyring.delete_password(_SERVICE, _entry(name, origin))
        except keyring.errors.KeyringError:
            return

    def _found(self, name: str, origin: str | None) -> tuple[str | None, str]:
        """Return the secret and where it is, in words."""
        for variable in self._variables.get(name, ()):
            if self._environ.get(variable, "").strip():
                return self._environ[variable].strip(), f"environment {variable}"
        if self._file is not None:
            return _read(self._file).get(_entry(name, origin)), f"the file {self._file}"
        keyring = _keyring()
        if keyring is None:
            return None, ""
        try:
            found: str | None = keyring.get_password(_SERVICE, _entry(name, origin))
        except keyring.errors.KeyringError:
            return None, ""
        return found, f"the keyring ({keyring.get_keyring().name})"


def _keyring() -> Any:
    """Return the keyring library where it has somewhere to keep things, else None."""
    import keyring
    import keyring.errors

    return keyring if keyring.get_keyring().priority > 0 else None


def _entry(name: str, origin: str | None) -> str:
    return name if origin is None else f"{name}@{origin}"


def _text(secrets: Mapping[str, str]) -> bytes:
    return (json.dumps(dict(secrets), indent=2, sort_keys=True) + "\n").encode()


def _read(path: Path) -> dict[str, str]:
    """Return what a file keeps.

    Raises:
        Misconfigured: others can read it, or it is no file of secrets.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise Misconfigured(
            f"the file of secrets {path} can't be read: {error.strerror}",
            hint=f"{FILE_VARIABLE} names it",
        ) from error
    if sys.platform != "win32" and stat.S_IMODE(mode) & 0o077:
        raise Misconfigured(
            f"the file of secrets {path} can be read by others (mode {stat.S_IMODE(mode):04o})",
            hint=f"chmod 600 {path}, and think about a new key: who could read it may have",
        )
    try:
        kept = json.loads(content or b"{}")
    except ValueError:
        kept = None
    if not isinstance(kept, dict) or not all(isinstance(value, str) for value in kept.values()):
        raise Misconfigured(
            f"{path} is no file of secrets; it should be a JSON object of texts",
            hint=f"move it away, or name another with {FILE_VARIABLE}",
        )
    return kept
