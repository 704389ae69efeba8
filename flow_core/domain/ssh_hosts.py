"""Nodes as `ssh_config` knows them: `my-task` is a task's first node, `my-task-1` the one of rank 1.

ssh takes the first value that it finds, so where a task has the name of another one's node, the task comes first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from attrs import frozen

from flow_core.domain.allocation import Node

_NOT_IN_HOST = re.compile(r"[^A-Za-z0-9._-]")
HEAD = "# Written by Flow, which writes it anew whenever nodes come and go; `flow ssh-config` tells more.\n"


@frozen(kw_only=True)
class SshHost:
    """One node under the names that a person types; `settings` are ssh_config's keywords with their values."""

    names: tuple[str, ...]
    task: str
    rank: int
    settings: Mapping[str, Sequence[str]]

    @property
    def place(self) -> str:
        """Where it is, as people write it."""
        host, port = self.settings["HostName"][0], self.settings["Port"][0]
        return f"{host}:{port}"


def host_names(task: str, node: Node) -> tuple[str, ...]:
    """Return what a node of a task is called, its best name first; what no host may be called is a dash."""
    plain = _NOT_IN_HOST.sub("-", task)
    numbered = f"{plain}-{node.rank}"
    return (plain, numbered) if node.rank == 0 else (numbered,)


def rendered(hosts: Iterable[SshHost]) -> str:
    """Return the text of a file for ssh; a host with a setting that no line can hold is left out."""
    whole = [host for host in hosts if all(map(_fits, host.settings.values()))]
    blocks = [
        _block(name, host)
        for is_task in (True, False)
        for host in whole
        for place, name in enumerate(host.names)
        if (place == 0 and host.rank == 0) is is_task
    ]
    return "\n".join([HEAD, *blocks])


def _block(name: str, host: SshHost) -> str:
    lines = [f"Host {name}"]
    for keyword, values in host.settings.items():
        lines += [f"  {keyword} {value}" for value in values]
    return "\n".join(lines) + "\n"


def _fits(values: Sequence[str]) -> bool:
    return all(value and value.isprintable() for value in values)
