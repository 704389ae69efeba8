"""Real pretended nodes for tests: a host in a temporary folder, and everything it started ended afterwards."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from flow_adapters.node_files import load_node_files
from flow_core.domain.allocation import Node, NodeState
from flow_core.domain.bid import Launch
from flow_core.domain.run import RunReport
from flow_core.domain.script import NodeTask, render_script
from flow_core.domain.shape import InstanceShape, parse_shape
from flow_core.domain.volume import Attachment
from flow_providers.mock import namespaces
from flow_providers.mock.nodes import HostedNode
from flow_providers.mock.process_nodes import ProcessNodes
from tests.node.kit import wait_for_lock, wait_for_word

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)


class Host:
    """`ProcessNodes` with short words for what tests do to nodes."""

    def __init__(self, root: Path, **options: Any) -> None:
        self.root = root
        self.nodes = ProcessNodes(root, **{"grace_s": 0.3, **options})
        self._booted: set[str] = set()

    def boot(
        self,
        node_id: str,
        command: str | tuple[str, ...] = "true",
        *,
        rank: int = 0,
        attachments: tuple[Attachment, ...] = (),
        shape: InstanceShape | None = None,
        script: str | None = None,
        **about: Any,
    ) -> None:
        """Boot a node that runs `command`."""
        task = NodeTask(name="train", token="abcdefgh", command=command, **about)
        hosted = HostedNode(
            id=node_id,
            bid_id="bid",
            rank=rank,
            shape=shape or parse_shape("8xh100"),
            attachments=attachments,
        )
        text = render_script(task, files=load_node_files()) if script is None else script
        self._booted.add(node_id)
        self.nodes.boot(hosted, Launch(script=text, attachments=attachments), at=NOW)

    def ended(self, node_id: str) -> RunReport:
        """The last word of a node whose command has begun and is about to end."""
        wait_for_lock(self.nodes.folder(node_id) / "flow" / "lock")
        return self.report(node_id)

    def ended_among_fellows(self, node_id: str) -> RunReport:
        """The last word of one node of many, whose helper stays until the node goes."""
        wait_for_word(self.nodes.folder(node_id) / "flow" / "state.json", '"exited"')
        return self.report(node_id)

    def report(self, node_id: str) -> RunReport:
        """What the node last said."""
        report = self.nodes.report(node_id)
        assert report is not None
        return report

    def said(self, node_id: str) -> bytes:
        """The node's whole log."""
        chunk = self.nodes.read(node_id, offset=0, limit=1 << 24)
        assert chunk is not None
        return chunk.data

    def disk(self, node_id: str) -> Path:
        """The folder that the node's commands start in."""
        return self.nodes.folder(node_id) / "home" / "workspace"

    def down(self, node_id: str) -> None:
        """Return once no process of the node lives."""
        wait_for_lock(self.nodes.folder(node_id) / "init.lock")

    def close(self) -> None:
        """End every node."""
        for node_id in self._booted:
            self.nodes.lose(node_id, at=NOW)
            self.nodes.destroy(node_id, at=NOW)
        for node_id in self._booted:
            if (self.nodes.folder(node_id) / "init.lock").exists():
                self.down(node_id)


def node_of(node_id: str, rank: int = 0) -> Node:
    """The node as the shell is told of it."""
    return Node(id=node_id, rank=rank, state=NodeState.RUNNING)


def volume_at(path: str, *, read_only: bool = False, volume_id: str = "vol") -> Attachment:
    """A volume that the node mounts."""
    return Attachment(volume_id=volume_id, path=path, read_only=read_only)


def why_no_mounts() -> str:
    """Why this machine can't mount at absolute paths; empty if it can."""
    return namespaces.available() or ""
