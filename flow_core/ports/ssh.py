"""The ssh role: what OpenSSH's programs must know of nodes, and which host keys are theirs. Optional.

It is there where nodes have an address at which an SSH server answers, whatever else the shell role uses.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from attrs import frozen

if TYPE_CHECKING:
    from flow_core.domain.allocation import Node
    from flow_core.ports.shell import Call


@frozen(kw_only=True)
class KeyChange:
    """A node showed another host key than the one that is pinned to it; both as fingerprints, and the new one whole."""

    pinned: str
    shown: str
    key: str


class Ssh(Protocol):
    """Knows how nodes are reached by `ssh`, and pins their host keys: trusted when first seen, then held to."""

    def settings(self, node: Node) -> Mapping[str, Sequence[str]]:
        """Return what `ssh_config` must say for `node`, which has an address: keywords in order, each with its values.

        Nothing is asked of the node. The host key must be the one that is pinned; without one, none will do.
        """
        ...

    def meet(self, nodes: Collection[Node]) -> Mapping[str, str]:
        """Pin the host key of each node that has none pinned; return why some, by id, could not be met."""
        ...

    def introductions(self, nodes: Sequence[Node], hosts: Mapping[str, str]) -> Sequence[Call]:
        """Return calls, one for each node, that let these nodes log in to each other at their `hosts`, by id.

        They have a new key pair of their own then, which opens nothing else and is kept nowhere else. Until all calls
        have run, some still hold the pair of the last introduction.
        """
        ...

    def foresee(self, task: str, node: Node) -> None:
        """Let the next command that looks at a task, by its name, log in to this node of it sooner.

        Nothing is asked of the node, and nobody has to follow it. A node whose host key isn't pinned is passed over.
        """
        ...

    def change(self, node: Node) -> KeyChange | None:
        """Return what the last refusal of the node's host key was about; None where it wasn't refused."""
        ...

    def trust(self, node: Node, change: KeyChange) -> None:
        """Have the changed key be the node's from now on."""
        ...


class SshHosts(Protocol):
    """Where this machine's ssh looks nodes up by name, a text for each provider."""

    def is_wanted(self) -> bool:
        """Return whether the user has asked for it."""
        ...

    def write(self, provider: str, text: str) -> None:
        """Have ssh find this, and nothing else, of a provider's.

        Raises:
            Misconfigured, NoRoom: it can't be written.
        """
        ...
