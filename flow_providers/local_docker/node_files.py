"""The plain files that this provider brings to its nodes, as texts."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from flow_adapters.node_texts import with_looks

_FOLDER = Path(__file__).parent / "node"


@cache
def node_file(name: str) -> str:
    """Return the text of a file in `flow_providers/local_docker/node`."""
    return with_looks(_FOLDER / name)
