"""Reads the plain files that the node script is made of from the installed package."""

from __future__ import annotations

from importlib import resources

from flow_core.domain.script import NodeFiles


def load_node_files() -> NodeFiles:
    """Return the files of `flow_core/node` as they were shipped."""
    folder = resources.files("flow_core") / "node"
    return NodeFiles(
        helper=(folder / "flow_node.py").read_text(encoding="utf-8"),
        boot=(folder / "boot.sh").read_text(encoding="utf-8"),
    )
