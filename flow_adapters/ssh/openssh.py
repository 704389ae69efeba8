"""OpenSSH's own client, told what Flow insists on: for terminals, and for other programs that speak through it.

It knows terminals better than we ever shall, and reads the user's own settings. What it is told comes before those: the
pinned host key and no other, no forwarding of the agent, and no shared connection of the user's, which might lead
to a machine that had the address before.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from flow_adapters.ssh.trust import alias
from flow_core.domain.allocation import Node

#: What ssh itself exits with when it could not do its part. Source: ssh(1), EXIT STATUS.
OWN_FAILURE = 255


#: How long ssh may take to read the user's settings, which may run programs of theirs.
_READING_S = 10.0
#: What of the user's settings for an address an entry of another name must repeat.
_ON_THE_WAY = {
    "proxyjump": "ProxyJump",
    "proxycommand": "ProxyCommand",
    "identityfile": "IdentityFile",
    "identitiesonly": "IdentitiesOnly",
    "identityagent": "IdentityAgent",
    "certificatefile": "CertificateFile",
}


def ssh_options(
    node: Node, *, known: Path, keys: Sequence[Path], config: Path | None, timeout_s: float
) -> list[str]:
    """Return ssh's options for one node, without its name; scp and rsync's `-e` take them as well."""
    settings = {**ssh_settings(node, known=known, timeout_s=timeout_s), "LogLevel": "ERROR"}
    words = ["-F", str(config)] if config is not None else []
    for name, value in settings.items():
        words += ["-o", f"{name}={value}"]
    for key in keys:
        words += ["-i", str(key)]
    return words


def ssh_settings(node: Node, *, known: Path, timeout_s: float) -> dict[str, str]:
    """Return what Flow insists on for one node, as ssh_config's keywords and their values."""
    assert node.address is not None
    return {
        "HostKeyAlias": alias(node.id),
        "UserKnownHostsFile": quoted(known),
        "GlobalKnownHostsFile": "none",
        "StrictHostKeyChecking": "yes",
        "CheckHostIP": "no",
        "UpdateHostKeys": "no",
        "ForwardAgent": "no",
        "ForwardX11": "no",
        "ControlPath": "none",
        "ConnectTimeout": str(max(1, round(timeout_s))),
        "ServerAliveInterval": "15",
        "ServerAliveCountMax": "3",
        "User": node.address.user,
        "Port": str(node.address.port),
    }


def on_the_way(
    program: str, host: str, *, config: Path, without: Mapping[str, Sequence[str]] | None = None
) -> dict[str, list[str]]:
    """Return what the user's `config` says of the way to `host` and of keys, as ssh itself reads it.

    What is as in `without` is left out. Empty where ssh can't read it.
    """
    line = [program, "-F", str(config), "-G", "--", host]
    try:
        told = subprocess.run(
            line,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_READING_S,
            check=False,
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return {}
    found: dict[str, list[str]] = {}
    for words in (each.split(" ", 1) for each in told.decode("utf-8", "replace").splitlines()):
        name = _ON_THE_WAY.get(words[0])
        if name is not None and words[1:] not in ([], ["none"]):
            spaced = " " in words[1] and not name.startswith("Proxy")
            found.setdefault(name, []).append(f'"{words[1]}"' if spaced else words[1])
    return {
        name: values
        for name, values in found.items()
        if without is None or without.get(name) != values
    }


def quoted(path: Path) -> str:
    """Return a path as ssh_config takes it: percent signs are its own, and spaces separate."""
    text = str(path).replace("%", "%%")
    return f'"{text}"'


def ssh_words(
    program: str,
    node: Node,
    line: str,
    *,
    options: Sequence[str],
    door: Path | None = None,
    keeps_door: bool = False,
    has_terminal: bool = False,
) -> list[str]:
    """Return the whole command: a terminal on the node exactly when there is one here.

    A client that keeps the `door` lets those that come to it share its connection while it runs; without one that
    does, each has a connection of its own.
    """
    assert node.address is not None
    shared: list[str] = []
    if door is not None:
        master = "yes" if keeps_door else "no"
        shared = [
            "-o",
            f"ControlPath={door}",
            "-o",
            f"ControlMaster={master}",
            "-o",
            "ControlPersist=no",
        ]
    terminal = "-t" if has_terminal else "-T"
    return [program, *shared, *options, terminal, "--", node.address.host, line]
