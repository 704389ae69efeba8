"""A folder of files that OpenSSH's client includes, one for each provider, and the line in the user's own settings.

The user's `~/.ssh/config` is theirs: it gets one line at its top, once they agree, and keeps every byte otherwise. The
line has to stand there, because what follows a `Host` belongs to that host. The folder's being there says that Flow
is to keep it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from flow_adapters.files import troubles_of, write_whole
from flow_adapters.places import home_dir

_OWNER = 0o600
_READ_INTO = re.compile(r"[%$*?\[\]\\\"']")


def hosts_of(state_dir: Path, environ: Mapping[str, str]) -> FolderSshHosts:
    """Return where this user's ssh finds nodes."""
    return FolderSshHosts(state_dir / "ssh_hosts", config=home_dir(environ) / ".ssh" / "config")


class FolderSshHosts:
    """Implements `ports.ssh.SshHosts` in `folder`; `config` is the user's own file of settings."""

    def __init__(self, folder: Path, *, config: Path) -> None:
        self.folder = folder
        self.config = config

    @property
    def line(self) -> str:
        """The one line in the user's settings; without quotes where it can be, since editors read it too."""
        # What ssh may read something into, in this version or another, is a wildcard instead.
        pattern = f"{_READ_INTO.sub('?', str(self.folder))}/*.conf"
        return f'Include "{pattern}"' if " " in pattern else f"Include {pattern}"

    def is_wanted(self) -> bool:
        """See `SshHosts.is_wanted`."""
        return self.folder.is_dir()

    def write(self, provider: str, text: str) -> None:
        """See `SshHosts.write`; a file that says so already is left alone."""
        path = self.folder / f"{provider}.conf"
        data = text.encode("utf-8")
        with troubles_of(path):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if path.is_file() and path.read_bytes() == data:
                return
        write_whole(path, data, mode=_OWNER)

    def is_included(self) -> bool:
        """Return whether the user's settings have the line before the first host."""
        for each in self._settings().splitlines():
            if each.strip() == self.line.encode():
                return True
            if each.split()[:1] and each.split()[0].lower().startswith((b"host", b"match")):
                return False
        return False

    def include(self) -> None:
        """Have the user's settings begin with the line; every other byte stays.

        Raises:
            Misconfigured, NoRoom: the file can't be written; it is as it was.
        """
        if self.is_included():
            return
        before = self._without(self._settings())
        gap = b"\n" if before.strip() else b""
        with troubles_of(self.config):
            self.config.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(self.config, self.line.encode() + b"\n" + gap + before, mode=_OWNER)

    def remove(self) -> bool:
        """Take the line and the folder away; return whether there was anything.

        Raises:
            Misconfigured, NoRoom: something can't be written.
        """
        there = self._settings()
        rest = self._without(there)
        if rest != there:
            write_whole(self.config, rest, mode=_OWNER)
        had_folder = self.is_wanted()
        with troubles_of(self.folder):
            for file in self.folder.glob("*.conf"):
                file.unlink(missing_ok=True)
            if had_folder:
                self.folder.rmdir()
        return had_folder or rest != there

    def _without(self, settings: bytes) -> bytes:
        """Return settings without the line, and without the blank one that came with it."""
        lines = settings.splitlines(keepends=True)
        for place, each in enumerate(lines):
            if each.strip() == self.line.encode():
                follows = lines[place + 1 : place + 2]
                blank = int(place == 0 and bool(follows) and not follows[0].strip())
                return b"".join([*lines[:place], *lines[place + 1 + blank :]])
        return settings

    def _settings(self) -> bytes:
        with troubles_of(self.config):
            return self.config.read_bytes() if self.config.is_file() else b""
