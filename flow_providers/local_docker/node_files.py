"""The plain files that this provider brings to its nodes, as texts."""

from __future__ import annotations

from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent / "node"


@cache
def node_file(name: str) -> str:
    """Return the text of a file in `flow_providers/local_docker/node`."""
    return (_FOLDER / name).read_text("utf-8")
