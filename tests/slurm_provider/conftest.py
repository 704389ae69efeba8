"""The Slurm that these tests share: one for the whole session, skipped where it isn't installed, never in CI."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm.cluster import missing_programs
from tests.slurm_provider.cluster import RunningCluster


@pytest.fixture(scope="session")
def slurm() -> Iterator[RunningCluster]:
    """A Slurm with four nodes that run what they are given; its commands find it by this process's SLURM_CONF."""
    missing = missing_programs()
    if missing:
        why = f"no {', '.join(missing)} here; Debian's slurmctld, slurmd, slurm-client and munge have them"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
    if os.geteuid() != 0:
        pytest.skip("munge's daemon and Slurm's are started as root here")
    # A socket's path must be short, and pytest's own folders are not.
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder:
        cluster = RunningCluster(Path(folder))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SLURM_CONF", str(cluster.config))
            try:
                cluster.start()
                yield cluster
            finally:
                cluster.stop()
