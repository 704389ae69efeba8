"""The Slurm that these tests share: one for the whole session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.slurm.cluster import served
from tests.slurm_provider.cluster import RunningCluster


@pytest.fixture(scope="session")
def slurm() -> Iterator[RunningCluster]:
    """A Slurm with four nodes that run what they are given; its commands find it by this process's SLURM_CONF."""
    with served(RunningCluster) as cluster, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(cluster.config))
        yield cluster
