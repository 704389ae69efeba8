"""A cloud whose nodes boot, ended with its test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sim_nodes.kit import Cloud, refuse


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    """A host of nodes that boot; skipped where none can."""
    cloud = Cloud(tmp_path)
    try:
        if cloud.nodes.why_bare is not None:
            refuse(cloud.nodes.why_bare)
        yield cloud
    finally:
        cloud.close()
