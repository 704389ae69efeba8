"""Which host key belongs to which node: trusted on first use, kept in a file of Flow's own, never changed silently.

A key is pinned to the node's id and not to its address, because addresses are given to other machines after a
preemption. The file has OpenSSH's form, so that `ssh -o HostKeyAlias=... -o UserKnownHostsFile=...` trusts the same
keys: an alias, the kind of key, the key. It never holds two keys for one alias.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flow_adapters.locks import hold
from flow_core.errors import Conflict, FlowError, Misconfigured, NoRoom

#: How long to wait for another process that writes; a write takes microseconds.
PATIENCE_S = 10.0
_PLAIN = re.compile(r"[^a-z0-9._-]+")


def alias(node_id: str) -> str:
    """Return the name that stands for a node in the file: readable, unique, and safe in any pattern of OpenSSH's.

    OpenSSH lowers names and reads `*?!,` in them, so the id's digest makes the name unique and not the id's spelling.
    """
    digest = hashlib.sha256(node_id.encode("utf-8", "surrogateescape")).hexdigest()
    return f"{_PLAIN.sub('-', node_id.lower())[:40]}-{digest[:16]}"


def fingerprint(key: str) -> str:
    """Return a key's fingerprint as OpenSSH shows it; `key` is its kind and its base64."""
    raw = base64.b64decode(key.split()[1])
    return "SHA256:" + base64.b64encode(hashlib.sha256(raw).digest()).decode().rstrip("=")


class KnownNodes:
    """The pinned keys in one file, which is read again whenever somebody else has changed it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, int] | None = None
        self._keys: dict[str, str] = {}
        #: The last key that each node, by id, was refused for.
        self.refused: dict[str, str] = {}

    def key_of(self, node_id: str) -> str | None:
        """Return the pinned key, as its kind and its base64, or None before the first use."""
        self._refresh()
        return self._keys.get(alias(node_id))

    def pin(self, node_id: str, key: str) -> None:
        """Have this key belong to the node from now on; pinning the same key again changes nothing.

        Raises:
            Conflict: another key is pinned already; it stays.
            Misconfigured, NoRoom: the file can't be written; the message names it.
        """
        with self._alone():
            pinned = self.key_of(node_id)
            if pinned == key:
                return
            if pinned is not None:
                raise Conflict(f"another host key is pinned to {node_id!r}")
            _written(self.path, f"{alias(node_id)} {key}\n", os.O_APPEND)
            self._keys[alias(node_id)] = key
            self._seen = self._stamp()

    def replace(self, node_id: str, key: str) -> None:
        """Have this key, and no other, belong to the node from now on."""
        with self._alone():
            self._rewrite(node_id, f"{alias(node_id)} {key}\n")
        self.refused.pop(node_id, None)

    def forget(self, node_id: str) -> bool:
        """Have the node's next key be trusted as a first one; return whether one was pinned."""
        with self._alone():
            if self.key_of(node_id) is None:
                return False
            self._rewrite(node_id, "")
            return True

    def _rewrite(self, node_id: str, line: str) -> None:
        """Put `line` in the place of the node's own."""
        gone = alias(node_id)
        there = self.path.read_text("utf-8") if self.path.exists() else ""
        kept = [each for each in there.splitlines(keepends=True) if each.split()[:1] != [gone]]
        fresh = self.path.with_name(f"{self.path.name}.new")
        _written(fresh, "".join([*kept, line]), os.O_TRUNC)
        fresh.replace(self.path)
        self._seen = None

    def _refresh(self) -> None:
        stamp = self._stamp()
        if stamp == self._seen:
            return
        self._keys = {}
        if stamp is not None:
            for line in self.path.read_text("utf-8", "replace").splitlines():
                words = line.split()
                if len(words) >= 3 and not line.startswith(("#", "@")):
                    self._keys[words[0]] = f"{words[1]} {words[2]}"
        self._seen = stamp

    def _stamp(self) -> tuple[int, int] | None:
        try:
            there = self.path.stat()
        except FileNotFoundError:
            return None
        return there.st_mtime_ns, there.st_size

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with hold(self.path.with_name(f"{self.path.name}.lock"), patience_s=PATIENCE_S) as mine:
            if not mine:
                raise Misconfigured(
                    f"{self.path} has been held by another process for {PATIENCE_S:g} s",
                    hint="see what holds it, or set FLOW_STATE_DIR to another folder",
                )
            yield


def _written(path: Path, text: str, how: int) -> None:
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | how, 0o600)
        try:
            os.write(file, text.encode("utf-8"))
        finally:
            os.close(file)
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> FlowError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoRoom(f"{path} can't be written: {error.strerror}", hint="make room and repeat")
    return Misconfigured(
        f"{path} can't be written: {error.strerror}",
        hint="give yourself the right to write there, or set FLOW_STATE_DIR to a folder where you have it",
    )
