"""The Slurm that tests share: one for the whole session, skipped where it isn't installed, never in CI."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster, missing_programs
from tests.slurm.two_nodes import Nodes


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A Slurm that answers, in a folder of its own."""
    missing = missing_programs()
    if missing:
        why = f"no {', '.join(missing)} here; Debian's slurmctld, slurm-client and munge have them"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
    if os.geteuid() != 0:
        pytest.skip("munge's daemon and slurmctld are started as root here")
    # A socket's path must be short, and pytest's own folders are not.
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder:
        cluster = Cluster(Path(folder))
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()


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
