"""SSH keys while setting up: a name at the provider, a file of the user's, or a pair made now."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

from flow_adapters.key_files import (
    KeyPair,
    expanded,
    key_pairs,
    make_pair,
    read_pair,
    ssh_folder,
)
from flow_adapters.places import shown
from flow_cli.invocation import Invocation
from flow_core.domain.keys import SshKey, is_same_key
from flow_core.services.accounts import Accounts

#: The word that asks for a new pair, and the file that gets it.
NEW = "new"
NEW_FILE = "flow_ed25519"


def resolved(
    invocation: Invocation, accounts: Accounts, text: str
) -> tuple[str, Mapping[str, str]]:
    """Return what the provider calls the key that `text` means, and the settings that go with it.

    `text` is a name or id at the provider, the path of either half of a pair, or 'new'. A key that the provider
    doesn't know is added.

    Raises:
        InvalidRequest: there is no such key, and no such file.
    """
    there = accounts.keys()
    known = [key for key in there if text in (key.id, key.name)]
    if known:
        return text, _besides(invocation, _here(invocation, known[0]))
    if text == NEW:
        pair = _new_pair(invocation)
    else:
        pair = read_pair(expanded(text, invocation.environ))
    added, is_new = accounts.add_key(pair.public_key)
    key = added.key
    if is_new:
        invocation.talk.say(f"  the provider knows it now as {key.name!r}")
    unique = [each.name for each in there].count(key.name) <= 1
    return (key.name if unique else key.id), _besides(invocation, pair)


def suggestions(invocation: Invocation, there: Sequence[SshKey]) -> str | None:
    """Return the best answer without asking: a key whose private half is here, else a public one to add, else None."""
    pairs = [pair for pair in key_pairs(invocation.environ) if pair.is_here]
    for pair in pairs:
        for key in there:
            if is_same_key(key.public_key, pair.public_key):
                return key.name
    if pairs:
        return shown(pairs[0].private.with_name(pairs[0].private.name + ".pub"), invocation.environ)
    return None


def new_path(invocation: Invocation, name: str = NEW_FILE) -> Path:
    """Return where a new pair goes when nobody says."""
    return ssh_folder(invocation.environ) / name


def comment() -> str:
    """Return what a new key is called."""
    return f"flow@{platform.node() or 'here'}"


def _new_pair(invocation: Invocation) -> KeyPair:
    """Make a pair where setup keeps its own, or take the one that is there."""
    path = new_path(invocation)
    if path.exists():
        return read_pair(path)
    pair = make_pair(path, comment=comment())
    invocation.talk.say(f"  made {shown(path, invocation.environ)}, which only you can read")
    return pair


def _here(invocation: Invocation, key: SshKey) -> KeyPair | None:
    pairs = key_pairs(invocation.environ)
    found = (pair for pair in pairs if is_same_key(pair.public_key, key.public_key))
    return next((pair for pair in found if pair.is_here), None)


def _besides(invocation: Invocation, pair: KeyPair | None) -> dict[str, str]:
    if pair is None or pair.is_usual or not pair.is_here:
        return {}
    return {"ssh_key": shown(pair.private, invocation.environ)}
