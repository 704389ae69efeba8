"""The mock on disk, its nodes real processes: the same promises, commands and files included."""

from __future__ import annotations

from pathlib import Path

import pytest

from flow_adapters.clocks import SystemClock
from flow_core.ports.provider import Provider, ProviderContext
from flow_providers.conformance import Controls, ProviderContract, Rig
from flow_providers.mock import connect
from flow_providers.mock.control import Control
from tests.conformance.mock_controls import controls

#: Simulated seconds in a real one.
RATE = 600


class DiskRig(Rig):
    """A new world in a new folder for every test."""

    may_lack = ("refuse_login", "teammate_bids")
    patience_s = 20.0 * RATE
    step_s = 0.05 * RATE
    a_while_s = 0.3 * RATE
    resolution_s = 1.0
    many = 30
    options: dict[str, object] = {
        "rate": RATE,
        "mood": "quiet",
        "instant": "yes",
        "notice_min_real_s": 0.5,
    }

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def provider(self) -> Provider:
        """A world of its own."""
        context = ProviderContext(
            state_dir=str(self.folder), clock=SystemClock(), options=self.options, seed=0
        )
        self.made = connect(context)
        return self.made

    @property
    def controls(self) -> Controls:
        """All that the cloud's own faults can do."""
        return controls(Control(self.made.market.engine))


@pytest.mark.slow
class TestMockOnDisk(ProviderContract):
    @pytest.fixture
    def rig(self, tmp_path: Path) -> Rig:
        """A folder of its own for each world."""
        return DiskRig(tmp_path)
