"""The Slurm that these tests share: one for the whole session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster, served
from tests.slurm.two_nodes import Nodes


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A Slurm that answers, in a folder of its own."""
    with served(Cluster) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def real_nodes(cluster: Cluster) -> Cluster:
    """The same Slurm with two nodes that run what they are given."""
    cluster.start_nodes()
    return cluster


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    """Two nodes of Flow's."""
    nodes = Nodes(tmp_path, 2)
    yield nodes
    nodes.end()
