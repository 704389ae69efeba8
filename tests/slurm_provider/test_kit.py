"""Everything that Flow promises of a provider, tried on a real Slurm."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from flow_adapters.clocks import SystemClock
from flow_core.domain.bid import Bid
from flow_core.domain.shape import InstanceShape, parse_shape
from flow_core.ports.provider import Provider, ProviderContext
from flow_providers.conformance import Controls, ProviderContract, Rig
from flow_providers.slurm import connect
from tests.slurm_provider.cluster import RunningCluster

pytestmark = [pytest.mark.slurm, pytest.mark.slow]


class SlurmRig(Rig):
    step_s = 0.1
    a_while_s = 0.5
    resolution_s = 0.001
    may_lack = (
        "account", "usage", "catalog", "amend-limit", "block", "regions",
        # There is no market, no credentials and no network to fail.
        "outbid", "relent", "set_price", "fail_before", "fail_after", "refuse_login",
        "instance_quota", "volume_quota", "teammate_bids",
    )  # fmt: skip

    def __init__(self, folder: Path, cluster: RunningCluster) -> None:
        self.folder = folder
        self.cluster = cluster

    def provider(self) -> Provider:
        options = {"slurm.folder": str(self.folder / "shared"), "slurm.python": sys.executable}
        return connect(
            ProviderContext(state_dir=str(self.folder), clock=SystemClock(), options=options)
        )

    def a_shape(self) -> InstanceShape | None:
        return parse_shape("cpu")

    def close(self) -> None:
        """Take away the links to volumes that nodes, which are this very machine, leave where they were wanted."""
        for path in (Path("/kit-data"), *Path("/mnt").glob("kit-*")):
            if path.is_symlink() and path.readlink().is_relative_to(self.folder):
                path.unlink()

    @property
    def controls(self) -> Controls:
        return Controls(lose_node=self._lose, reboot_node=self._reboot)

    def _lose(self, bid: Bid, rank: int) -> None:
        # Nodes share a host, so that one going down would take those of other bids along.
        self.cluster.run("scancel", "--full", "--signal=KILL", self._job(bid))

    def _reboot(self, bid: Bid, rank: int) -> None:
        self.cluster.run("scontrol", "requeue", self._job(bid))

    def _job(self, bid: Bid) -> str:
        return (self.folder / "shared" / "bids" / bid.id / "job").read_text()


class TestSlurm(ProviderContract):
    """With the login node on this very machine."""

    @pytest.fixture
    def rig(self, tmp_path: Path, slurm: RunningCluster) -> Rig:
        """A rig over the session's cluster."""
        return SlurmRig(tmp_path, slurm)
