"""SSH keys as files of the user's: which there are, what a public one says, and a new pair."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import frozen

from flow_adapters.files import meaning_of
from flow_adapters.places import home_dir
from flow_core.errors import InvalidRequest, NameTaken

#: The stems that OpenSSH looks for by itself. Source: ssh(1), IdentityFile.
USUAL = ("id_ed25519", "id_ecdsa", "id_rsa", "id_ed25519_sk", "id_ecdsa_sk")
_PUBLIC = ".pub"
_LONGEST = 100_000


@frozen(kw_only=True)
class KeyPair:
    """A public key and where its private half lies, whether or not it is there."""

    public_key: str
    private: Path

    @property
    def is_here(self) -> bool:
        """Whether the private half is on this machine."""
        return self.private.is_file()

    @property
    def is_usual(self) -> bool:
        """Whether SSH finds it without being told."""
        return self.private.name in USUAL

    @property
    def is_open_to_others(self) -> bool:
        """Whether others can read the private half, which SSH then refuses."""
        if sys.platform == "win32" or not self.is_here:
            return False
        return bool(stat.S_IMODE(self.private.stat().st_mode) & 0o077)


def ssh_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder of the user's SSH keys."""
    return home_dir(environ) / ".ssh"


def key_pairs(environ: Mapping[str, str], *, named: str | None = None) -> Sequence[KeyPair]:
    """Return the user's pairs whose public half is in a file: the `named` one first, then `~/.ssh/*.pub` by name."""
    files = sorted(ssh_folder(environ).glob(f"*{_PUBLIC}"), key=_by_use)
    if named:
        own = _public_path(expanded(named, environ))
        files = [own, *(file for file in files if file != own)]
    found = []
    for file in files:
        try:
            found.append(read_pair(file))
        except InvalidRequest:
            continue
    return found


def read_pair(path: Path) -> KeyPair:
    """Return the pair that a file of either half belongs to.

    Raises:
        InvalidRequest: there is no public key; the message names the file that was looked for.
    """
    public = _public_path(path)
    try:
        with public.open("rb") as file:
            text = file.read(_LONGEST).decode("utf-8", "replace").strip()
    except OSError as error:
        raise InvalidRequest(
            {"ssh_key": f"{public} can't be read: {error.strerror}"},
            hint="name the public half of a key, such as ~/.ssh/id_ed25519.pub",
        ) from error
    if "PRIVATE KEY" in text or len(text.split()) < 2:
        raise InvalidRequest({"ssh_key": f"{public} holds no public key"})
    return KeyPair(public_key=text, private=public.with_suffix(""))


def make_pair(path: Path, *, comment: str) -> KeyPair:
    """Make an Ed25519 key that only the user can read at `path`, and its public half beside it.

    Raises:
        NameTaken: a file of either name is there already; nothing is written over.
        Misconfigured, NoRoom: the files can't be written.
    """
    from flow_adapters.lean_asyncssh import asyncssh

    public = path.with_name(path.name + _PUBLIC)
    for each in (path, public):
        if each.exists() or each.is_symlink():
            raise NameTaken(
                f"{each} is there already, and a key is never written over",
                hint="name another place, or add that key by its path",
            )
    key = asyncssh.generate_private_key("ssh-ed25519", comment=comment)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _written(path, key.export_private_key("openssh"), 0o600)
    _written(public, key.export_public_key("openssh"), 0o644)
    return read_pair(public)


def expanded(text: str, environ: Mapping[str, str]) -> Path:
    """Return a path as the user wrote it, `~` being their home."""
    if text == "~" or text.startswith("~/"):
        return home_dir(environ) / text[2:]
    return Path(text).absolute()


def _written(path: Path, content: bytes, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    except OSError as error:
        raise meaning_of(path, error) from error


def _public_path(path: Path) -> Path:
    return path if path.suffix == _PUBLIC else path.with_name(path.name + _PUBLIC)


def _by_use(file: Path) -> tuple[int, str]:
    stem = file.stem
    return (USUAL.index(stem) if stem in USUAL else len(USUAL), stem)
