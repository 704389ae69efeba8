"""Nodes of one allocation that can log in to each other: a key pair of their own, made here and kept by them alone.

A new pair is made for each introduction, and nothing of it stays on this machine. The public half lets in nobody but
the fellows' own addresses, and forwards neither ports nor an agent; the other end is `introduce.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import resources

from flow_adapters.ssh.algorithms import CIPHERS, KEX
from flow_adapters.ssh.lines import python_line
from flow_adapters.ssh.trust import KnownNodes, alias
from flow_adapters.ssh.uploading import fellow_name
from flow_core.domain.allocation import Node
from flow_core.ports.shell import Call

#: What a login with the pair may not do. Source: sshd(8), AUTHORIZED_KEYS FILE FORMAT.
_RESTRICTED = 'restrict,pty,from="{}"'
_HEAD = """\
# Written by Flow: how the nodes of one task reach each other.
"""
_ENTRY = """\
Host {names}
  HostName {host}
  HostKeyAlias {alias}
  Port {port}
  User @USER@
  IdentityFile "@FOLDER@/id"
  IdentitiesOnly yes
  UserKnownHostsFile "@FOLDER@/known_hosts"
  StrictHostKeyChecking {checking}
  CheckHostIP no
  UpdateHostKeys no
  Ciphers {ciphers}
  KexAlgorithms {kex}
  ForwardAgent no
  ForwardX11 no
  LogLevel ERROR
"""


def introductions(
    nodes: Sequence[Node], hosts: Mapping[str, str], *, known: KnownNodes
) -> list[Call]:
    """Return a call for each node that lets it log in to the others at their `hosts`, by id, and them to it."""
    private, public = _new_pair()
    script = (resources.files("flow_adapters.ssh") / "introduce.py").read_text("utf-8")
    line = python_line(script)
    pinned = {node.id: known.key_of(node.id) for node in nodes}
    told = {
        "private": private,
        "public": public,
        "restricted": _RESTRICTED.format(",".join(dict.fromkeys(hosts[node.id] for node in nodes))),
        "known_hosts": "".join(f"{alias(each)} {key}\n" for each, key in pinned.items() if key),
        "config": _HEAD
        + "".join(_entry(node, hosts[node.id], bool(pinned[node.id])) for node in nodes),
    }
    message = json.dumps(told).encode()
    return [Call(node=node, line=line, stdin=message) for node in nodes]


def _entry(node: Node, host: str, is_pinned: bool) -> str:
    is_ours = node.address is not None and host == node.address.host
    return _ENTRY.format(
        names=f"{fellow_name(node)} {host}",
        host=host,
        alias=alias(node.id),
        port=node.address.port if node.address is not None and is_ours else 22,
        checking="yes" if is_pinned else "accept-new",
        ciphers=",".join(CIPHERS),
        kex=KEX,
    )


def _new_pair() -> tuple[str, str]:
    from flow_adapters.lean_asyncssh import asyncssh

    pair = asyncssh.generate_private_key("ssh-ed25519", comment="")
    private: bytes = pair.export_private_key("openssh")
    public: bytes = pair.export_public_key("openssh")
    return private.decode(), public.decode().strip()
