"""OpenSSH's own client, told what Flow insists on: for terminals, and for other programs that speak through it.

It knows terminals better than we ever shall, and reads the user's own settings. What it is told comes before those: the
pinned host key and no other, no forwarding of the agent, and no shared connection of the user's, which might lead
to a machine that had the address before.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flow_adapters.ssh.trust import alias
from flow_core.domain.allocation import Node

#: What ssh itself exits with when it could not do its part. Source: ssh(1), EXIT STATUS.
OWN_FAILURE = 255


def ssh_options(
    node: Node, *, known: Path, keys: Sequence[Path], config: Path | None, timeout_s: float
) -> list[str]:
    """Return ssh's options for one node, without its name; scp and rsync's `-e` take them as well."""
    assert node.address is not None
    settings = {
        "HostKeyAlias": alias(node.id),
        "UserKnownHostsFile": _quoted(known),
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
        "LogLevel": "ERROR",
    }
    words = ["-F", str(config)] if config is not None else []
    for name, value in settings.items():
        words += ["-o", f"{name}={value}"]
    for key in keys:
        words += ["-i", str(key)]
    return words


def ssh_words(
    program: str, node: Node, line: str, *, options: Sequence[str], has_terminal: bool
) -> list[str]:
    """Return the whole command: a terminal on the node exactly when there is one here."""
    assert node.address is not None
    return [program, *options, "-t" if has_terminal else "-T", "--", node.address.host, line]


def _quoted(path: Path) -> str:
    text = str(path).replace("%", "%%")
    return f'"{text}"'
