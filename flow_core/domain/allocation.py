"""The nodes that a bid was granted, with their ranks.

A bid is granted all of its nodes or none. Addresses and even ids may change after a preemption, so whatever is
told to the nodes about each other is numbered: a *membership*. The number grows by one whenever the set of
(rank, id, address) changes; the node script refuses an older number than it has seen.
"""

from __future__ import annotations

import enum
from datetime import datetime

from attrs import field, frozen


class NodeState(str, enum.Enum):
    """Where a node is between being granted and being gone."""

    STARTING = "starting"
    RUNNING = "running"
    LEAVING = "leaving"
    STOPPED = "stopped"
    LOST = "lost"
    GONE = "gone"


#: Legal moves of a node. STOPPED is a node whose boot disk is kept while its bid waits; GONE is final.
NODE_TRANSITIONS: dict[NodeState, frozenset[NodeState]] = {
    NodeState.STARTING: frozenset(
        {NodeState.RUNNING, NodeState.LEAVING, NodeState.STOPPED, NodeState.LOST, NodeState.GONE}
    ),
    NodeState.RUNNING: frozenset(
        {NodeState.LEAVING, NodeState.STOPPED, NodeState.LOST, NodeState.GONE}
    ),
    NodeState.LEAVING: frozenset(
        {NodeState.RUNNING, NodeState.STARTING, NodeState.STOPPED, NodeState.LOST, NodeState.GONE}
    ),
    NodeState.STOPPED: frozenset({NodeState.STARTING, NodeState.GONE}),
    NodeState.LOST: frozenset(
        {NodeState.STARTING, NodeState.RUNNING, NodeState.STOPPED, NodeState.GONE}
    ),
    NodeState.GONE: frozenset(),
}


@frozen
class Address:
    """Where a node's shell answers."""

    host: str
    port: int = 22
    user: str = "ubuntu"

    def __str__(self) -> str:
        return f"{self.user}@{self.host}" + ("" if self.port == 22 else f":{self.port}")


@frozen(kw_only=True)
class Node:
    """One machine of an allocation. `private_ip` is what its fellows reach it by, `address` what we do."""

    id: str
    rank: int
    state: NodeState
    address: Address | None = None
    private_ip: str | None = None
    since: datetime | None = None

    @property
    def is_reachable(self) -> bool:
        """Whether a command may be tried on it; the shell has the last word."""
        return self.state in (NodeState.RUNNING, NodeState.LEAVING)


class NoticeKind(str, enum.Enum):
    """Why nodes are about to stop."""

    PREEMPTION = "preemption"
    RELOCATION = "relocation"


@frozen
class Notice:
    """The provider's word that the nodes stop at `deadline`; it may be taken back before then."""

    kind: NoticeKind
    deadline: datetime


@frozen(kw_only=True)
class Allocation:
    """The nodes of one bid, by rank; empty while the bid has none.

    `rendezvous_port` is unique per allocation wherever nodes share a host, else the provider's constant.
    """

    bid_id: str
    nodes: tuple[Node, ...] = ()
    notice: Notice | None = None
    rendezvous_port: int = field(default=29500)

    @property
    def is_complete(self) -> bool:
        """Whether every node is up and can be talked to."""
        return bool(self.nodes) and all(node.is_reachable for node in self.nodes)

    @property
    def signature(self) -> str:
        """A text that changes exactly when fellows must be told anew: who has which rank, and where."""
        parts = [
            f"{node.rank}={node.id}@{node.private_ip or ''}/{node.address or ''}"
            for node in self.nodes
        ]
        return ";".join([*parts, str(self.rendezvous_port)])
